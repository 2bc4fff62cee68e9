package servicebustest

import (
	"fmt"
	"net"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Options say what a server has from its start. The zero value is a server without entities, on a port of loopback
// that the system chooses.
type Options struct {
	// Addr is where it listens, on loopback only; "127.0.0.1:0" when empty.
	Addr string

	// InMemory makes a server that does not listen: its connections are made by [Server.Dial] and are pipes of this
	// process. It can then live in a bubble of testing/synctest, where a socket would stop the bubble's time.
	InMemory bool

	// Clock measures locks, times to live, scheduled messages and windows of duplicates; real time when nil.
	Clock Clock

	// Queues and Topics are made at the start, by name. More can be made later: [Server.CreateQueue].
	Queues map[string]Queue
	Topics map[string]Topic

	// Token says what the holder of an OAuth token (a JWT of Entra ID, not a shared access signature) may do, on every
	// entity; none when it returns 0. When nil, all such tokens are refused.
	Token func(token string) Rights

	// MaxMessage is the most bytes of a message or batch as it is sent, between 1 KiB and 100 MiB; 256 KiB when 0, as in
	// the standard tier.
	MaxMessage int

	// MaxConnections bounds the open ones, 1,000 when 0: beyond it a connection is closed when it arrives.
	MaxConnections int
}

// Queue is a queue's settings. The zero value is a usable queue.
type Queue struct {
	// LockDuration is how long a received message, or an accepted session, stays with its receiver. At most 5 minutes,
	// as in the service; a minute when 0.
	LockDuration time.Duration

	// MaxDeliveryCount is after how many failed deliveries a message is dead-lettered, 10 when 0.
	MaxDeliveryCount int

	// RequiresSession makes a queue of sessions: it takes messages with a session ID only, and receivers of one session.
	RequiresSession bool

	// DefaultTTL is the time to live of messages that have none or a longer one; for ever when 0.
	DefaultTTL time.Duration

	// DeadLetterOnExpiration keeps what outlived its time to live, in the dead-letter queue; without it, it is gone.
	DeadLetterOnExpiration bool

	// DuplicateWindow is how long a message ID is remembered: a message with the same one is taken and thrown away. At
	// most 7 days; no detection when 0.
	DuplicateWindow time.Duration

	// MaxBytes is how much of messages and sessions' state it holds, 1 GiB when 0. A sender is refused beyond it.
	MaxBytes int
}

// Topic is a topic's settings and its subscriptions, by name.
type Topic struct {
	DefaultTTL      time.Duration // as [Queue.DefaultTTL]; the shortest of message, topic and subscription holds
	DuplicateWindow time.Duration // as [Queue.DuplicateWindow]
	MaxBytes        int           // of all subscriptions together, 1 GiB when 0
	Subscriptions   map[string]Subscription
}

// Subscription is a subscription's settings; their meanings are [Queue]'s.
type Subscription struct {
	LockDuration           time.Duration
	MaxDeliveryCount       int
	RequiresSession        bool
	DefaultTTL             time.Duration
	DeadLetterOnExpiration bool

	// Filters are the rules of the subscription: it gets one copy of each message that at least one of them lets pass,
	// and of every message when there are none.
	Filters []Filter
}

const (
	defaultLock       = time.Minute
	maxLock           = 5 * time.Minute
	defaultDeliveries = 10
	maxWindow         = 7 * 24 * time.Hour
	defaultBytes      = 1 << 30
	defaultMessage    = 256 << 10
	minMessage        = 1 << 10
	maxMessage        = 100 << 20
	maxName           = 260
)

func (o *Options) check() error {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if host, _, err := net.SplitHostPort(o.Addr); err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return refuse("Options.Addr", o.Addr, "a host of loopback and a port, as in 127.0.0.1:0")
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMessage
	}
	if o.MaxMessage < minMessage || o.MaxMessage > maxMessage {
		return refuse("Options.MaxMessage", o.MaxMessage, "from 1 KiB to 100 MiB, 0 for 256 KiB")
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 1000
	}
	if o.MaxConnections < 0 {
		return refuse("Options.MaxConnections", o.MaxConnections, "at least 1, 0 for 1,000")
	}
	return nil
}

func (q *Queue) check(where string) error {
	switch {
	case q.LockDuration < 0 || q.LockDuration > maxLock:
		return refuse(where+".LockDuration", q.LockDuration, "at most 5 minutes, 0 for one")
	case q.MaxDeliveryCount < 0:
		return refuse(where+".MaxDeliveryCount", q.MaxDeliveryCount, "at least 1, 0 for 10")
	case q.DefaultTTL < 0:
		return refuse(where+".DefaultTTL", q.DefaultTTL, "a positive time, 0 for ever")
	case q.DuplicateWindow < 0 || q.DuplicateWindow > maxWindow:
		return refuse(where+".DuplicateWindow", q.DuplicateWindow, "at most 7 days, 0 for no detection")
	case q.MaxBytes < 0:
		return refuse(where+".MaxBytes", q.MaxBytes, "at least 1, 0 for 1 GiB")
	}
	if q.LockDuration == 0 {
		q.LockDuration = defaultLock
	}
	if q.MaxDeliveryCount == 0 {
		q.MaxDeliveryCount = defaultDeliveries
	}
	if q.MaxBytes == 0 {
		q.MaxBytes = defaultBytes
	}
	return nil
}

func refuse(field string, value any, allowed string) error {
	return &eventflow.ConfigError{Field: "servicebustest." + field, Value: fmt.Sprint(value), Allowed: allowed}
}
