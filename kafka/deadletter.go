package kafka

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

const (
	deadLetterSuffix = ".dlq"
	ownPrefix        = "eventflow-" // of what a dead letter says
)

// deadLetter writes a record to the dead letters of its subscription and returns when the cluster has it: key, value and
// headers as they were, and headers that say why, most important first. Headers of an earlier death are dropped, so
// that one which dies again tells of its last death. The error's text stays here, because it may quote the payload: its
// type goes.
func (b *Broker) deadLetter(ctx context.Context, r *kgo.Record, topic string, f *eventflow.Failure) error {
	if topic == "" {
		return eventflow.ErrNoDeadLetters
	}
	const op = "dead-letter"
	cl, err := b.toPublish(ctx, topic)
	if err != nil {
		return b.explain(op, topic, err, false)
	}
	dead, own := deadRecord(r, topic, f)
	err = produce(ctx, cl, dead)
	for own > 0 && errors.Is(err, kerr.MessageTooLarge) { // the event itself goes before what we say of it
		dead.Headers = dead.Headers[:len(dead.Headers)-1]
		own--
		err = produce(ctx, cl, dead)
	}
	return b.published(cl, topic, b.explain(op, topic, notOurs(ctx, err), false))
}

// deadRecord makes the record of a dead letter; own of its headers, the last, are ours.
func deadRecord(r *kgo.Record, topic string, f *eventflow.Failure) (dead *kgo.Record, own int) {
	dead = &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}
	dead.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		return strings.HasPrefix(strings.TrimPrefix(h.Key, attributePrefix), ownPrefix)
	})
	for _, h := range [...]struct{ name, value string }{
		{"reason", f.Reason},
		{"flow", f.Flow},
		{"version", f.Version},
		{"attempts", strconv.Itoa(f.Attempts)},
		{"topic", r.Topic},
		{"partition", strconv.Itoa(int(r.Partition))},
		{"offset", strconv.FormatInt(r.Offset, 10)},
		{"trigger", f.Binding},
		{"error", errorClass(f.Err)},
	} {
		if h.value != "" {
			dead.Headers = append(dead.Headers, kgo.RecordHeader{Key: ownPrefix + h.name, Value: []byte(h.value)})
			own++
		}
	}
	return dead, own
}

// errorClass is the type of the innermost error: it says what went wrong without quoting the payload.
func errorClass(err error) string {
	if err == nil {
		return ""
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return reflect.TypeOf(err).String()
}
