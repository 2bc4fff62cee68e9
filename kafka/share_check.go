package kafka

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// shareTraits is what only the cluster knows of a share group.
type shareTraits struct {
	deliveries int           // after so many a record is handed to nobody any more; 0: it does not say
	lock       time.Duration // by the last answer
	earliest   bool          // where a new group begins
	said       bool          // whether earliest is known
	shares     bool          // it knows share groups at all
	renews     bool          // and can renew their locks
}

// patience is how long a broker may wait for records: settlements and renewals wait for it, and a renewal has the time from
// half of a lock to its margin for several tries.
func (t *shareTraits) patience() time.Duration {
	const most, least = 500 * time.Millisecond, 20 * time.Millisecond
	return max(min(most, t.lock/40), least)
}

// The names of what a share group may have set for itself; a broker's own are said "group." before them.
const (
	shareDeliveries = "share.delivery.count.limit"
	shareLock       = "share.record.lock.duration.ms"
	shareReset      = "share.auto.offset.reset"
	brokerPrefix    = "group."
)

const (
	defaultShareLock = 30 * time.Second
	renewingVersion  = 2 // of ShareAcknowledge: KIP-1222, Kafka 4.2
)

// check asks for what only the cluster knows, as that of a subscriber does, and for the limits of the group.
func (s *shareSubscriber) check(ctx context.Context, l *eventflow.Listening) (shareTraits, error) {
	log := s.b.log(l.Logger)
	unknown := shareTraits{lock: defaultShareLock, shares: true, renews: true}
	if err := s.b.check(ctx, s.topic, &s.set, l.MaxAttempts > 0 && !l.DeadLetters, log); err != nil {
		return unknown, err
	}
	cl, err := s.b.client()
	if err != nil {
		return unknown, err
	}
	t, err := ask(ctx, s.b, func(ctx context.Context) (shareTraits, error) { return traitsOf(ctx, cl, s.set.group) })
	if err != nil {
		return unknown, s.b.atStart(ctx, s.topic, err, log)
	}
	switch need := l.MaxAttempts + l.Slack; {
	case !t.shares:
		return t, &eventflow.ConfigError{
			Field: "kafka.ShareGroup", Value: "a cluster without share groups",
			Allowed: "Apache Kafka 4.2 or later with share.version 1, or another mode",
		}
	case l.MaxAttempts > 0 && t.deliveries > 0 && t.deliveries < need:
		return t, &eventflow.ConfigError{
			Field: shareDeliveries + " of the share group " + s.set.group, Value: strconv.Itoa(t.deliveries),
			Allowed: fmt.Sprintf("at least %d, the runner's %d attempts and a slack of %d: the group drops a record that was delivered more often; "+
				"raise the group's %s (its most is the brokers' %sshare.max.delivery.count.limit), or lower runner.MaxAttempts or its slack",
				need, l.MaxAttempts, l.Slack, shareDeliveries, brokerPrefix),
		}
	case !t.renews:
		log.WarnContext(ctx, "kafka: the cluster cannot renew the locks of share groups, which takes Kafka 4.2: runs that outlast one are cancelled",
			"subscriber", s.String(), "lock", t.lock)
	}
	if t.said && !t.earliest {
		log.WarnContext(ctx, "kafka: a new share group sees nothing that was published before it began: its "+shareReset+" is not earliest",
			"subscriber", s.String())
	}
	return t, nil
}

// traitsOf asks for them. What the cluster does not say, or not to us, is left out.
func traitsOf(ctx context.Context, cl *kgo.Client, group string) (shareTraits, error) {
	t := shareTraits{lock: defaultShareLock}
	versions, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		return t, err
	}
	fetch, ack := kmsg.NewPtrShareFetchRequest().Key(), kmsg.NewPtrShareAcknowledgeRequest().Key()
	for _, k := range versions.ApiKeys {
		t.shares = t.shares || k.ApiKey == fetch
		t.renews = t.renews || k.ApiKey == ack && k.MaxVersion >= renewingVersion
	}
	if !t.shares {
		return t, nil
	}
	said, err := configs(ctx, cl, kmsg.ConfigResourceTypeGroupConfig, group, shareDeliveries, shareLock, shareReset)
	if err != nil {
		return t, err
	}
	if said[shareDeliveries] == "" || said[shareLock] == "" {
		if err := t.ofBroker(ctx, cl, said); err != nil {
			return t, err
		}
	}
	if n, err := strconv.Atoi(said[shareDeliveries]); err == nil {
		t.deliveries = n
	}
	if ms, err := strconv.Atoi(said[shareLock]); err == nil && ms > 0 {
		t.lock = time.Duration(ms) * time.Millisecond
	}
	t.said, t.earliest = said[shareReset] != "", said[shareReset] == "earliest"
	return t, nil
}

// ofBroker fills in what a group has not set for itself.
func (*shareTraits) ofBroker(ctx context.Context, cl *kgo.Client, said map[string]string) error {
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if len(res.Brokers) == 0 {
		return kerr.BrokerNotAvailable
	}
	defaults, err := configs(ctx, cl, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(res.Brokers[0].NodeID)), brokerPrefix+shareDeliveries, brokerPrefix+shareLock)
	if err != nil {
		return err
	}
	for _, name := range []string{shareDeliveries, shareLock} {
		if said[name] == "" {
			said[name] = defaults[brokerPrefix+name]
		}
	}
	return nil
}

// configs asks for what something is set to. A resource that is refused has nothing.
func configs(ctx context.Context, cl *kgo.Client, kind kmsg.ConfigResourceType, name string, names ...string) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range res.Resources {
		for _, c := range res.Resources[i].Configs {
			if c.Value != nil {
				out[c.Name] = *c.Value
			}
		}
	}
	return out, nil
}
