package kafka

import (
	"time"

	"github.com/eventflow-go/eventflow"
)

// Mode says which events of a topic are handed over in order, and is itself the option of OpenSubscriber that says so.
// The default is PartitionLanes.
type Mode uint8

const (
	// PartitionLanes: the events of one partition run one after another, in their order. There are never more runs at a
	// time than the consumer has partitions.
	PartitionLanes Mode = iota
	// KeyLanes: the events of one key run one after another, those of different keys of one partition at the same time.
	// Keys share 256 lanes of their partition by hash, so a slow key may hold others up: order is promised, isolation is
	// not. Events without a key are in no order.
	KeyLanes
	// Unordered: all events may run at the same time.
	Unordered
	// ShareGroup: the consumers share the events one by one, in no order, by the protocol of share groups (KIP-932, Apache
	// Kafka 4.2): any number of consumers, whatever the number of partitions, and a slow event holds up no other. The
	// broker locks each event and counts its deliveries, but not its attempts: see "Share groups" in the documentation of
	// the package for what has to be set for the group, and what is not kept.
	ShareGroup

	modes
)

var modeNames = [modes]string{"partition lanes", "key lanes", "unordered", "share group"}

// String gives the mode's name in lower case.
func (m Mode) String() string {
	if m < modes {
		return modeNames[m]
	}
	return "no mode"
}

// ApplySubscriber makes m the subscription's mode.
func (m Mode) ApplySubscriber(c *eventflow.SubscriberConfig) error {
	s, ok := c.Native.(*subscription)
	switch {
	case !ok:
		return foreign("kafka.Mode")
	case m >= modes:
		return &eventflow.ConfigError{Field: "kafka.Mode", Value: m.String(), Allowed: "PartitionLanes, KeyLanes, Unordered, ShareGroup"}
	}
	s.mode = m
	return nil
}

// Features says what a subscriber in this mode promises. MaxLock and MaxEvent are the broker's: see [Broker.Features].
func (m Mode) Features() eventflow.Features {
	return eventflow.Features{
		Lanes: m == PartitionLanes || m == KeyLanes, Groups: true, ExactAttempt: m != ShareGroup, DeadLetter: true, MaxNack: maxNack,
	}
}

// maxNack is the longest delay that a subscriber keeps, in its own memory: its process's end ends it.
const maxNack = 24 * time.Hour

// GapPolicy says what a subscriber does when records are gone that it has not seen: retention has overtaken it, the log
// was truncated, or a batch cannot be read.
type GapPolicy uint8

const (
	// StopOnGap: Next returns a *[GapError], which is final. It is the default: a reset that nobody hears of is a loss
	// that nobody hears of.
	StopOnGap GapPolicy = iota
	// ContinueOnGap: the gap is logged and noted in [Broker.Gaps], and consuming goes on behind it.
	ContinueOnGap

	gapPolicies
)

// OnGap chooses what happens when records are gone. The default is StopOnGap.
func OnGap(p GapPolicy) eventflow.SubscriberOption {
	const field = "kafka.OnGap"
	return subscriberOption{field, func(s *subscription) error {
		if p >= gapPolicies {
			return &eventflow.ConfigError{Field: field, Value: "another number", Allowed: "StopOnGap, ContinueOnGap"}
		}
		s.onGap = p
		return nil
	}}
}

// ServerSideBalancer makes the subscriber join its group by the protocol of KIP-848, Kafka 4.0 and later: the broker
// assigns the partitions and no member waits for the others. The session timeout is then the broker's (of the group,
// consumer.session.timeout.ms) and must be told here, as a lock is that long; Kafka's default is 45 s. What the broker says
// itself goes before it where it is shorter, which takes the right to describe the group's configuration. A lock is never
// longer than the session timeout of the client's options either: a cluster that does not know the protocol is joined by the
// classic one.
func ServerSideBalancer(session time.Duration) eventflow.SubscriberOption {
	const field = "kafka.ServerSideBalancer"
	return subscriberOption{field, func(s *subscription) error {
		if session < time.Second || session > time.Hour {
			return &eventflow.ConfigError{Field: field, Value: session.String(), Allowed: "the group's session timeout, 1s to 1h"}
		}
		s.serverSide = session
		return nil
	}}
}

// StaticMember gives the consumer a name in its group, by which a process that restarts within the session timeout gets
// its partitions back without a rebalance. The price is that closing does not leave the group: nobody else has what it
// hands back until the session timeout is over. Two consumers of one group must not have the same name.
func StaticMember(name string) eventflow.SubscriberOption {
	const field = "kafka.StaticMember"
	return subscriberOption{field, func(s *subscription) error {
		if name == "" {
			return &eventflow.ConfigError{Field: field, Allowed: "a name"}
		}
		s.instance = name
		return nil
	}}
}
