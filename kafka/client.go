package kafka

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// maxBuffered is how much may wait in the client to be sent; beyond it Publish waits. The client itself bounds the number
// of records alone, to 50,000.
const maxBuffered = 256 << 20

// options are what every client of the broker has: the user's before ours, so that whatever a promise rests on is set after
// them.
func (b *Broker) options(log *slog.Logger) []kgo.Opt {
	opts := slices.Concat([]kgo.Opt{kgo.MaxBufferedBytes(maxBuffered)}, b.cfg.Client, []kgo.Opt{
		kgo.SeedBrokers(b.cfg.Seeds...),
		kgo.ClientID(b.cfg.ClientID),
		kgo.WithLogger(logger{b.log(log)}),
		kgo.BrokerMaxWriteBytes(int32(max(100<<20, 2*b.cfg.MaxEventBytes))),
	})
	if b.cfg.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(b.cfg.TLS))
	}
	if b.cfg.SASL != nil {
		opts = append(opts, kgo.SASL(b.cfg.SASL))
	}
	return opts
}

// log gives log, else the broker's own logger.
func (b *Broker) log(log *slog.Logger) *slog.Logger {
	switch {
	case log != nil:
		return log
	case b.cfg.Logger != nil:
		return b.cfg.Logger
	}
	return slog.Default()
}

// producerOptions are those of the client that publishes.
func (b *Broker) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), // one event that is published alone waits for its round trip and for nothing else
		kgo.ProducerBatchMaxBytes(int32(b.cfg.MaxEventBytes)),
	}
}

// refused are the options of franz-go that would break a promise, and what to use instead.
var refused = map[string]string{
	"SeedBrokers":                         "Config.Seeds",
	"ClientID":                            "Config.ClientID",
	"DialTLSConfig":                       "Config.TLS",
	"SASL":                                "Config.SASL",
	"WithLogger":                          "Config.Logger",
	"WithContext":                         "Broker.Close: a client that ends by itself hands nothing back",
	"WithPools":                           "no pools: events keep the bytes of their records",
	"BrokerMaxWriteBytes":                 "Config.MaxEventBytes",
	"MaxProduceRequestsInflightPerBroker": "no such limit: order and idempotence rest on it",
	"DisableFetchCRCValidation":           "checked records: corrupt ones would reach the flow",

	"ProducerBatchMaxBytesFn":            "Config.MaxEventBytes",
	"RequiredAcks":                       "acknowledgement by all in-sync replicas: what is published must not be lost",
	"DisableIdempotentWrite":             "the idempotent producer: its retries neither repeat nor reorder",
	"AllowIdempotentProduceCancellation": "the idempotent producer: its retries neither repeat nor reorder",
	"DefaultProduceTopic":                "OpenPublisher",
	"DefaultProduceTopicAlways":          "OpenPublisher",
	"ManualFlushing":                     "Publish, which returns when the cluster has the events",
	"TransactionalID":                    "kafka.ExactlyOnce: transactions belong to a subscriber",
	"TransactionTimeout":                 "kafka.ExactlyOnce: transactions belong to a subscriber",

	"ConsumerGroup":               "eventflow.Group",
	"ShareGroup":                  "eventflow.Group and an option of OpenSubscriber",
	"ConsumeTopics":               "OpenSubscriber",
	"ConsumePartitions":           "OpenSubscriber",
	"ConsumeRegex":                "OpenSubscriber",
	"ConsumeExcludeTopics":        "OpenSubscriber",
	"ConsumeStartOffset":          "the earliest event: any other start skips what came before the first commit",
	"ConsumeResetOffset":          "no silent reset: what is lost is said",
	"KeepControlRecords":          "records without control records: they are no events",
	"KeepRetryableFetchErrors":    "the client's own retries",
	"DisableAutoCommit":           "the subscriber's own commits",
	"GreedyAutoCommit":            "the subscriber's own commits: this one loses events",
	"AutoCommitInterval":          "the subscriber's own commits",
	"AutoCommitMarks":             "the subscriber's own commits",
	"AutoCommitCallback":          "the subscriber's own commits",
	"AdjustFetchOffsetsFn":        "the group's offsets",
	"OnPartitionsAssigned":        "the subscriber's own callback",
	"OnPartitionsRevoked":         "the subscriber's own callback",
	"OnPartitionsLost":            "the subscriber's own callback",
	"OnPartitionsCallbackBlocked": "the subscriber's own callback",
	"OnOffsetsFetched":            "the subscriber's own callback",
	"BlockRebalanceOnPoll":        "the subscriber's own answer to rebalances",
	"GroupProtocol":               "the consumer protocol",
	"ShareAckCallback":            "the subscriber's own callback",
	"ShareMaxRecords":             "the subscriber's own bound",
	"ShareMaxRecordsStrict":       "the subscriber's own bound",
}

func checkClientOptions(opts []kgo.Opt) error {
	var errs []error
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "kafka.Config.Client", Value: "nil", Allowed: "options of franz-go"})
			continue
		}
		name := optionName(o)
		if instead, ok := refused[name]; ok {
			errs = append(errs, &eventflow.ConfigError{Field: "kafka.Config.Client", Value: "kgo." + name, Allowed: instead})
		}
	}
	return errors.Join(errs...)
}

// optionName gives the function of package kgo that made the option, by the name of the closure that it holds; "" when
// it cannot be told. An option is opaque and has no name of its own. What is refused is set after the user's options
// as well wherever it can be, so a name that is not recognised breaks nothing silently.
func optionName(o kgo.Opt) string {
	v := reflect.ValueOf(o)
	if v.Kind() != reflect.Struct || v.NumField() != 1 || v.Field(0).Kind() != reflect.Func {
		return ""
	}
	f := runtime.FuncForPC(v.Field(0).Pointer())
	if f == nil {
		return ""
	}
	// "github.com/twmb/franz-go/pkg/kgo.SeedBrokers.func1", or "main.main.SeedBrokers.func1" where it was inlined.
	parts := strings.Split(f.Name(), ".")
	for len(parts) > 0 && isClosure(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

// isClosure reports whether a part of a function's name is the compiler's: "func1", "gowrap2", "1".
func isClosure(part string) bool {
	part = strings.TrimPrefix(strings.TrimPrefix(part, "func"), "gowrap")
	return strings.Trim(part, "0123456789") == ""
}

// logger passes the client's warnings and errors on.
type logger struct{ to *slog.Logger }

// Level is asked before each message is made.
func (l logger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.to.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case l.to.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

// Log is the client's.
func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	as := slog.LevelWarn
	if level == kgo.LogLevelError {
		as = slog.LevelError
	}
	l.to.Log(context.Background(), as, "kafka: "+msg, keyvals...)
}
