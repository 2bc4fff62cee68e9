package sqstest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Options say what a server has from its start. The zero value is a server without queues, on a port of loopback that
// the system chooses.
type Options struct {
	// Addr is where it listens, on loopback only; "127.0.0.1:0" when empty.
	Addr string

	// InMemory makes a server that does not listen: it is reached by [Server.RoundTrip] alone. It can then live in a
	// bubble of testing/synctest, where a socket would stop the bubble's time.
	InMemory bool

	// Clock measures everything that takes time; real time when nil.
	Clock Clock

	// Queues are made at the start, by name; a name that ends with .fifo makes a FIFO queue. More can be made later, by
	// any client or by [Server.CreateQueue].
	Queues map[string]Queue

	// Region and Account appear in ARNs and URLs; "us-east-1" and "000000000000" when empty.
	Region, Account string

	// MaxInFlight is how many messages of one queue may be received and not deleted, 120,000 when 0, as in the service.
	MaxInFlight int

	// MaxBytes bounds what all queues together hold, with 512 bytes of overhead a message and 256 for a deduplication ID;
	// 1 GiB when 0. A message beyond it is throttled.
	MaxBytes int

	// MaxConnections bounds the open ones, 1,000 when 0: further ones wait to be accepted.
	MaxConnections int
}

// Queue is a queue's settings. The zero value is a usable queue, with the service's defaults.
type Queue struct {
	// VisibilityTimeout is how long a received message stays with its receiver, in whole seconds, at most 12 hours; 30
	// seconds when 0. A timeout of 0 can be set by SetQueueAttributes.
	VisibilityTimeout time.Duration

	// Delay is how long a new message is kept back, at most 15 minutes.
	Delay time.Duration

	// Retention is after how long a message is gone, from a minute to 14 days; 4 days when 0.
	Retention time.Duration

	// WaitTime is how long a receive waits that does not say so itself, at most 20 seconds.
	WaitTime time.Duration

	// MaxMessage is the most bytes of a message with its attributes, from 1 KiB to 1 MiB; 1 MiB when 0.
	MaxMessage int

	// DeadLetterQueue is the name of the queue to which a message goes that was received MaxReceiveCount times (10 when
	// 0) and is about to be received once more. It must be of the same kind.
	DeadLetterQueue string
	MaxReceiveCount int

	// ContentBasedDeduplication makes the SHA-256 of its body the deduplication ID of a message that has none. FIFO only.
	ContentBasedDeduplication bool

	// HighThroughput tells duplicates apart by message group, and not in the whole queue. FIFO only.
	HighThroughput bool
}

const (
	maxVisibility     = 12 * time.Hour
	maxDelay          = 15 * time.Minute
	minRetention      = time.Minute
	maxRetention      = 14 * 24 * time.Hour
	maxWait           = 20 * time.Second
	minMaxMessage     = 1 << 10
	maxMaxMessage     = 1 << 20
	maxBatchBytes     = 1 << 20
	maxBatch          = 10
	maxAttributes     = 10
	maxID             = 128
	dedupWindow       = 5 * time.Minute
	attemptWindow     = 5 * time.Minute
	cooldown          = time.Minute // after a purge, and before a deleted queue's name is free again
	messageOverhead   = 512
	dedupOverhead     = 256
	fifoSuffix        = ".fifo"
	defaultRegion     = "us-east-1"
	defaultAccount    = "000000000000"
	defaultInFlight   = 120_000
	defaultMaxBytes   = 1 << 30
	defaultConns      = 1000
	defaultReceives   = 10
	maxReceivesPolicy = 1000
)

func (o *Options) check() error {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if host, _, err := net.SplitHostPort(o.Addr); err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return misconfigured("Options.Addr", o.Addr, "a host of loopback and a port, as in 127.0.0.1:0")
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	for _, text := range []struct {
		field string
		value *string
		or    string
	}{{"Options.Region", &o.Region, defaultRegion}, {"Options.Account", &o.Account, defaultAccount}} {
		if *text.value == "" {
			*text.value = text.or
		}
		if strings.ContainsAny(*text.value, ":/ ") {
			return misconfigured(text.field, *text.value, "text without colons, slashes and spaces")
		}
	}
	for _, number := range []struct {
		field string
		value *int
		or    int
	}{
		{"Options.MaxInFlight", &o.MaxInFlight, defaultInFlight},
		{"Options.MaxBytes", &o.MaxBytes, defaultMaxBytes},
		{"Options.MaxConnections", &o.MaxConnections, defaultConns},
	} {
		if *number.value < 0 {
			return misconfigured(number.field, *number.value, fmt.Sprintf("at least 1, 0 for %d", number.or))
		}
		if *number.value == 0 {
			*number.value = number.or
		}
	}
	return nil
}

// attributes are the settings as a client would write them.
func (q *Queue) attributes(name, account, region string) (map[string]string, error) {
	fifo := strings.HasSuffix(name, fifoSuffix)
	out := map[string]string{}
	seconds := func(field, attribute string, d, least, most time.Duration) error {
		if d == 0 {
			return nil
		}
		if d < least || d > most || d%time.Second != 0 {
			return misconfigured("Queue."+field, d, fmt.Sprintf("whole seconds from %v to %v", least, most))
		}
		out[attribute] = wholeSeconds(d)
		return nil
	}
	for _, err := range []error{
		seconds("VisibilityTimeout", "VisibilityTimeout", q.VisibilityTimeout, time.Second, maxVisibility),
		seconds("Delay", "DelaySeconds", q.Delay, time.Second, maxDelay),
		seconds("Retention", "MessageRetentionPeriod", q.Retention, minRetention, maxRetention),
		seconds("WaitTime", "ReceiveMessageWaitTimeSeconds", q.WaitTime, time.Second, maxWait),
	} {
		if err != nil {
			return nil, err
		}
	}
	if q.MaxMessage != 0 {
		if q.MaxMessage < minMaxMessage || q.MaxMessage > maxMaxMessage {
			return nil, misconfigured("Queue.MaxMessage", q.MaxMessage, "from 1 KiB to 1 MiB, 0 for 1 MiB")
		}
		out["MaximumMessageSize"] = strconv.Itoa(q.MaxMessage)
	}
	if q.DeadLetterQueue != "" {
		receives := q.MaxReceiveCount
		if receives == 0 {
			receives = defaultReceives
		}
		if receives < 1 || receives > maxReceivesPolicy {
			return nil, misconfigured("Queue.MaxReceiveCount", receives, "from 1 to 1000, 0 for 10")
		}
		out["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn(region, account, q.DeadLetterQueue), receives)
	}
	if !fifo {
		if q.ContentBasedDeduplication || q.HighThroughput {
			return nil, misconfigured("Queue.ContentBasedDeduplication, HighThroughput", true, "false for a queue whose name does not end with .fifo")
		}
		return out, nil
	}
	out["FifoQueue"] = "true"
	if q.ContentBasedDeduplication {
		out["ContentBasedDeduplication"] = "true"
	}
	if q.HighThroughput {
		out["DeduplicationScope"], out["FifoThroughputLimit"] = "messageGroup", "perMessageGroupId"
	}
	return out, nil
}

func wholeSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func arn(region, account, name string) string {
	return "arn:aws:sqs:" + region + ":" + account + ":" + name
}

func misconfigured(field string, value any, allowed string) error {
	return &eventflow.ConfigError{Field: "sqstest." + field, Value: fmt.Sprint(value), Allowed: allowed}
}
