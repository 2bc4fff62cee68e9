package kafka_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner/runnertest"
)

// opensSharesOnApache gives the harness's Open for a real cluster, which all rules share.
func opensSharesOnApache(seeds []string) func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	var names atomic.Int64
	return func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		t.Helper()
		prefix := fmt.Sprintf("eventflow-%s-%d-", kafka.NewID(), names.Add(1))
		f := &brokertest.Fixture{Missing: prefix + "missing", Lock: min(max(s.Lock, time.Second), time.Minute)}
		cl := shareFixture(t, f, kafka.Config{Seeds: seeds, Logger: quietLog}, prefix)
		adm := kadm.NewClient(cl)
		for i := range s.Topics {
			name := fmt.Sprintf("%stopic-%d", prefix, i+1)
			f.Topics = append(f.Topics, name)
			res, failed := adm.CreateTopics(t.Context(), harnessPartitions, -1, nil, name, name+".dlq")
			if failed != nil || res.Error() != nil {
				t.Fatalf("create %s: %v, %v", name, failed, res.Error())
			}
		}
		visible(t, adm, f.Topics...)
		for _, g := range s.Groups {
			shareConfigs(t, cl, prefix+g, f.Lock)
		}
		f.BreakDeadLetters = func(ctx context.Context, topic string) error {
			if _, err := adm.DeleteTopic(ctx, topic+".dlq"); err != nil {
				return err
			}
			return gone(ctx, adm, topic+".dlq")
		}
		return f
	}
}

// shareConfigs sets what a share group has to have set.
func shareConfigs(t brokertest.T, cl *kgo.Client, group string, lock time.Duration) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for name, value := range map[string]string{
		"share.auto.offset.reset":       "earliest",
		"share.record.lock.duration.ms": fmt.Sprint(lock.Milliseconds()),
		"share.session.timeout.ms":      fmt.Sprint(min(lock, 45*time.Second).Milliseconds()),
		"share.heartbeat.interval.ms":   "200",
		"share.delivery.count.limit":    "10",
	} {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, new(value)
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatalf("configs of %s: %v", group, err)
	}
	for _, r := range res.Resources {
		if failed := kerr.ErrorForCode(r.ErrorCode); failed != nil {
			why := ""
			if r.ErrorMessage != nil {
				why = *r.ErrorMessage
			}
			t.Fatalf("configs of %s: %v: %s", group, failed, why)
		}
	}
	for range 300 { // the broker hears of it a moment later
		if shareLimit(t.Context(), cl, group) == "10" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("configs of %s: they are not set", group)
}

// shareLimit is the delivery limit of a share group, as the broker says it.
func shareLimit(ctx context.Context, cl *kgo.Client, group string) string {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	r.ConfigNames = []string{"share.delivery.count.limit"}
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(ctx, cl)
	if err != nil || len(res.Resources) != 1 || len(res.Resources[0].Configs) != 1 || res.Resources[0].Configs[0].Value == nil {
		return ""
	}
	return *res.Resources[0].Configs[0].Value
}

func TestApacheKeepsTheRulesOfAShareGroup(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	h := shareHarness()
	h.Lock = apacheLock
	h.Open = opensSharesOnApache(seeds)
	brokertest.Run(t, h)
}

func TestApacheShareGroupKeepsThePromisesOfARunner(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	t.Run("ShareGroup", func(t *testing.T) {
		t.Parallel()
		h := shareRunner()
		h.Broker.Lock = apacheLock
		h.Broker.Open = opensSharesOnApache(seeds)
		runnertest.Run(t, h)
	})
}

func TestApacheShareGroupAcceptsNothingThatWasNotAcknowledged(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	topic := apacheTopic(t, seeds, harnessPartitions)
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	shareConfigs(t, cl, topic, apacheLock)
	acceptsOnlyAcknowledged(t, kafka.Config{Seeds: seeds, Logger: quietLog}, topic, topic, apacheLock, 50)
}
