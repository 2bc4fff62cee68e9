package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

const (
	// checkTimeout bounds one question at start: a broker that takes the connection and says nothing is unreachable.
	checkTimeout = 10 * time.Second
	// A broker that starts or stops hangs up on the first request, as one does that speaks TLS where we do not; and one
	// learns of a new topic a moment after it was made. So neither is believed at once.
	describeTries = 4
	describePause = 250 * time.Millisecond
)

// check asks the cluster, before anything is received, what would fail later: the credentials, the topic, the rights to
// it and to the group, and the dead-letter topic where deadLetters says that it is needed. Its error is final; what is
// waited for is logged.
func (b *Broker) check(ctx context.Context, topic string, set *subscription, deadLetters bool, log *slog.Logger) error {
	cl, err := b.client()
	if err != nil {
		return err
	}
	err = b.describe(ctx, cl, topic, mayRead)
	if err == nil {
		err = b.ask(ctx, func(ctx context.Context) error { return groupReadable(ctx, cl, set.group) })
	}
	if err != nil || !deadLetters || set.deadLetterTopic == "" {
		return b.atStart(ctx, topic, err, log)
	}
	err = b.atStart(ctx, set.deadLetterTopic, b.describe(ctx, cl, set.deadLetterTopic, mayWrite), log)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Do = "it is the dead-letter topic: " + e.Do + ", name another with kafka.DeadLetterTopic, or go without: kafka.NoDeadLetters"
	}
	return err
}

// atStart makes the error of Start of a client's: nil for what is waited for.
func (b *Broker) atStart(ctx context.Context, topic string, err error, log *slog.Logger) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	err = b.explain("start", topic, err, true)
	if errors.Is(err, eventflow.ErrFatal) || errors.Is(err, eventflow.ErrClosed) {
		return err
	}
	log.WarnContext(ctx, "kafka: the cluster does not answer yet; it is waited for", "topic", topic, "error", err)
	return nil
}

// Bits of the operations that a broker says are allowed, and what it says when it does not know.
const (
	mayRead       = 1 << kmsg.ACLOperationRead
	mayWrite      = 1 << kmsg.ACLOperationWrite
	mayDescribe   = 1 << kmsg.ACLOperationDescribe
	rightsUnknown = -1 << 31
)

// allowed reads them. Whoever is shown a topic or a group may at least describe it: where not even that is said, the
// server does not know.
func allowed(operations, right int32) bool {
	return operations == rightsUnknown || operations&mayDescribe == 0 || operations&right != 0
}

// describe asks for a topic and for the right to use it.
func (b *Broker) describe(ctx context.Context, cl *kgo.Client, topic string, right int32) error {
	for n := 1; ; n++ {
		err := b.ask(ctx, func(ctx context.Context) error { return describe(ctx, cl, topic, right) })
		_, hungUp := errors.AsType[*kgo.ErrFirstReadEOF](err)
		if n == describeTries || !hungUp && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		t := time.NewTimer(describePause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

func describe(ctx context.Context, cl *kgo.Client, topic string, right int32) error {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(topic)
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, cl)
	switch {
	case err != nil:
		return err
	case len(res.Topics) != 1:
		return kerr.UnknownTopicOrPartition
	case res.Topics[0].ErrorCode != 0:
		return kerr.ErrorForCode(res.Topics[0].ErrorCode)
	case !allowed(res.Topics[0].AuthorizedOperations, right):
		return kerr.TopicAuthorizationFailed
	}
	return nil
}

// groupReadable asks whether the group may be joined.
func groupReadable(ctx context.Context, cl *kgo.Client, group string) error {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	req.IncludeAuthorizedOperations = true
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for i := range res.Groups {
		g := &res.Groups[i]
		if g.ErrorCode == kerr.GroupAuthorizationFailed.Code {
			return kerr.GroupAuthorizationFailed
		}
		// A group that does not exist yet, or is none of the classic protocol, has no operations to show.
		if g.ErrorCode == 0 && g.State != "Dead" && !allowed(g.AuthorizedOperations, mayRead) {
			return kerr.GroupAuthorizationFailed
		}
	}
	return nil
}

// ask runs a question and returns when it is answered or ctx ends, whichever is first: the client notices the end of a
// context only after it has a connection. The question ends with its client at the latest, and Close waits for it.
func ask[T any](ctx context.Context, b *Broker, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	var none T
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return none, kgo.ErrClientClosed
	}
	b.asking.Add(1)
	b.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	go func() {
		defer b.asking.Done()
		v, err := question(limited)
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		if a.err != nil && limited.Err() != nil && ctx.Err() == nil {
			return none, errSilent // the client's own error may only tell of the context that ended
		}
		return a.value, a.err
	case <-limited.Done():
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	return none, errSilent
}

// ask is [ask] for a question without an answer.
func (b *Broker) ask(ctx context.Context, question func(context.Context) error) error {
	_, err := ask(ctx, b, func(ctx context.Context) (struct{}, error) { return struct{}{}, question(ctx) })
	return err
}

// errSilent is a broker that says nothing.
var errSilent = fmt.Errorf("no answer within %v: %w", checkTimeout, os.ErrDeadlineExceeded)
