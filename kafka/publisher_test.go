package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

func publisher(t *testing.T, b *kafka.Broker, topic string, opts ...eventflow.PublisherOption) eventflow.Publisher {
	t.Helper()
	p, err := b.OpenPublisher(topic, opts...)
	require.NoError(t, err)
	return p
}

func TestPublishedEventIsARecordWithKeyAndHeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := publisher(t, c.broker(nil), "one")
	require.NoError(t, p.Publish(t.Context(), eventflow.Event{
		ID: "7", Source: "/shop", Type: "order", DataContentType: "application/json", Key: "k", Data: []byte("{}"),
		Time:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Attributes: eventflow.Attributes{{Name: "tenant", Value: "a"}, {Name: "raw", Value: []byte("1")}, {Name: "tenant", Value: true}, {Name: "raw", Value: []byte("2")}},
	}))
	r := c.records("one", 1)[0]
	require.Equal(t, "k", string(r.Key))
	require.Equal(t, "{}", string(r.Value))
	require.Equal(t, [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", "7"}, {"ce_source", "/shop"}, {"ce_type", "order"}, {"content-type", "application/json"},
		{"ce_time", "2026-01-02T03:04:05Z"}, {"ce_tenant", "a"}, {"raw", "1"}, {"ce_tenant", "true"}, {"raw", "2"},
	}, pairs(r))
	require.WithinDuration(t, time.Now(), r.Timestamp, time.Minute, "the record's time decides when retention deletes it: an old event is a new record")
}

func TestStructuredPublisherWritesJSON(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := publisher(t, c.broker(nil), "one", kafka.Structured())
	require.NoError(t, p.Publish(t.Context(), eventflow.Event{ID: "7", Source: "/shop", Type: "order", Key: "k", Data: []byte(`{"a":1}`)}))
	r := c.records("one", 1)[0]
	require.JSONEq(t, `{"specversion":"1.0","id":"7","source":"/shop","type":"order","data":{"a":1}}`, string(r.Value))
	require.Equal(t, [][2]string{{"content-type", "application/cloudevents+json"}}, pairs(r))
	require.Equal(t, "k", string(r.Key))

	var pe *eventflow.PublishError
	err := p.Publish(t.Context(), eventflow.Event{ID: "8", Type: "order"}, eventflow.Event{ID: "9"}, eventflow.Event{ID: "10", Type: "order"})
	require.ErrorAs(t, err, &pe, "structured mode needs a type")
	require.Len(t, pe.Failed, 1)
	require.Equal(t, 1, pe.Failed[0].Index)
	require.Len(t, c.records("one", 3), 3)
}

func TestEventsWithoutAnIDGetDifferentOnes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	require.NoError(t, publisher(t, c.broker(nil), "one").Publish(t.Context(), eventflow.Event{}, eventflow.Event{}, eventflow.Event{Source: "/s"}))
	rs := c.records("one", 3)
	seen := map[string]bool{}
	for i, r := range rs {
		ev := kafka.Event("c", topicID, r)
		require.NotContains(t, ev.ID, "/", "it is not that of the record's place")
		seen[ev.ID] = true
		require.Equal(t, map[bool]string{true: "/s", false: "kafka/one"}[i == 2], ev.Source)
	}
	require.Len(t, seen, 3)
}

func TestSliceGoesToTheClientInOneGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var mu sync.Mutex
	requests := 0
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		requests++
		return nil, nil, false
	})
	p := publisher(t, c.broker(nil), "one")
	const n = 500
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "/s", Key: "k", Data: make([]byte, 1024)}
	}
	require.NoError(t, p.Publish(t.Context(), evs...))
	rs := c.records("one", n)
	for i, r := range rs {
		require.Equal(t, fmt.Sprint(i), kafka.Event("c", topicID, r).ID, "one key keeps its order")
	}
	mu.Lock()
	defer mu.Unlock()
	require.Less(t, requests, 10, "a request for each event would be %d", n)
}

func TestOnlyTheEventThatIsTooLargeFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.broker(nil)
	evs := []eventflow.Event{{ID: "1"}, {ID: "2", Data: make([]byte, b.Features().MaxEvent*2)}, {ID: "3"}}
	err := publisher(t, b, "one").Publish(t.Context(), evs...)
	var pe *eventflow.PublishError
	require.ErrorAs(t, err, &pe)
	require.Len(t, pe.Failed, 1)
	require.Equal(t, 1, pe.Failed[0].Index)
	require.ErrorIs(t, err, eventflow.ErrTooLarge)
	require.ErrorContains(t, err, "raise Config.MaxEventBytes")
	require.Len(t, c.records("one", 2), 2)
}

func TestTopicThatTakesLessRefusesByItsName(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	require.NoError(t, c.CreateTopic("small", 1, map[string]string{"max.message.bytes": "2000"}))
	err := publisher(t, c.broker(nil), "small").Publish(t.Context(), eventflow.Event{Data: noise(6000)})
	require.ErrorIs(t, err, eventflow.ErrTooLarge)
	require.ErrorContains(t, err, "publish small at 127.0.0.1")
}

func TestPublishToATopicThatIsMissing(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	err := publisher(t, b, "nowhere").Publish(t.Context(), eventflow.Event{}, eventflow.Event{})
	require.ErrorIs(t, err, eventflow.ErrNoTopic)
	require.ErrorContains(t, err, "publish nowhere")
	require.ErrorContains(t, err, "create the topic")
	require.NotErrorIs(t, err, eventflow.ErrFatal, "it may be made any moment")
}

func TestPublishWithoutTheRight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "reader", "secret-1", kfake.ACL{
		Resource: kmsg.ACLResourceTypeTopic, Name: "one", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true,
	}))
	b := c.broker(func(cfg *kafka.Config) { cfg.SASL, cfg.InsecurePlaintext = kafka.Plain("reader", "secret-1"), true })
	err := publisher(t, b, "one").Publish(t.Context(), eventflow.Event{})
	require.ErrorIs(t, err, kafka.ErrNotAuthorised)
	require.ErrorContains(t, err, "an ACL for the topic")
	require.NotContains(t, err.Error(), "secret-1")
}

func TestPublishWithAWrongPassword(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.EnableSASL(), kfake.User("SCRAM-SHA-512", "writer", "right"))
	c.refuseLogins()
	b := c.broker(func(cfg *kafka.Config) { cfg.SASL = kafka.ScramSHA512("writer", "wrong-1") })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := publisher(t, b, "one").Publish(ctx, eventflow.Event{})
	require.ErrorIs(t, err, kafka.ErrCredentials)
	require.NotContains(t, err.Error(), "wrong-1")
}

func TestPublishReturnsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	go func() {
		for { // takes connections and says nothing
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()
	b := open(t, kafka.Config{Seeds: []string{ln.Addr().String()}, Logger: quiet})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	require.ErrorIs(t, publisher(t, b, "one").Publish(ctx, eventflow.Event{}, eventflow.Event{}), context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 5*time.Second)
}

func TestFailedPublishNamesWhatFailedOnly(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.ProduceRequest)
		for _, topic := range r.Topics {
			for _, p := range topic.Partitions {
				if p.Partition != 1 {
					return nil, nil, false
				}
			}
		}
		res := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range r.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = 1, kerr.TopicAuthorizationFailed.Code
			rt.Partitions = append(rt.Partitions, rp)
			res.Topics = append(res.Topics, rt)
		}
		return res, nil, true
	})
	p := publisher(t, c.broker(nil), "three")
	var taken, failed int
	for i := range 12 {
		switch err := p.Publish(t.Context(), eventflow.Event{Key: fmt.Sprint(i)}); {
		case err == nil:
			taken++
		case errors.Is(err, kafka.ErrNotAuthorised):
			failed++
		default:
			require.NoError(t, err)
		}
	}
	require.Positive(t, taken)
	require.Positive(t, failed)
	require.Len(t, c.records("three", taken), taken)
}

func TestClosedPublisherTakesNothing(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	p := publisher(t, b, "one")
	require.NoError(t, p.Publish(t.Context(), eventflow.Event{}))
	require.NoError(t, p.Publish(t.Context()), "nothing to publish is no error")
	require.NoError(t, p.Close(t.Context()))
	require.ErrorIs(t, p.Publish(t.Context(), eventflow.Event{}), eventflow.ErrClosed)
	require.NoError(t, p.Close(t.Context()), "a second Close is a no-op")

	p = publisher(t, b, "one")
	require.NoError(t, b.Close(t.Context()))
	require.ErrorIs(t, p.Publish(t.Context(), eventflow.Event{}), eventflow.ErrClosed)
	_, err := b.OpenPublisher("one")
	require.ErrorIs(t, err, eventflow.ErrClosed)
}

func TestCloseWaitsForThePublishUnderWay(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() {
			close(arrived)
			<-goOn
		})
		return nil, nil, false
	})
	p := publisher(t, c.broker(nil), "one")
	published, closed := make(chan error, 1), make(chan error, 1)
	go func() { published <- p.Publish(t.Context(), eventflow.Event{}) }()
	<-arrived
	over, cancel := context.WithCancel(t.Context())
	cancel()
	go func() { closed <- p.Close(t.Context()) }()
	select {
	case err := <-closed:
		require.FailNow(t, "Close did not wait", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	require.NoError(t, <-published)
	require.NoError(t, <-closed)
	require.NoError(t, p.Close(over), "nothing is left to wait for")
}

func TestPublishUnderWayEndsWithAClosedContext(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() {
			close(arrived)
			<-goOn
		})
		return nil, nil, false
	})
	p := publisher(t, c.broker(nil), "one")
	published := make(chan error, 1)
	go func() { published <- p.Publish(t.Context(), eventflow.Event{}) }()
	<-arrived
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Close(over), context.Canceled)
	require.ErrorIs(t, <-published, eventflow.ErrClosed)
}

func TestDeadLetterIsTheRecordAndWhy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.broker(nil)
	require.NoError(t, publisher(t, b, "one").Publish(t.Context(), eventflow.Event{
		ID: "7", Source: "/shop", Type: "order", Key: "k", Data: []byte("poison"),
		Attributes: eventflow.Attributes{{Name: "raw", Value: []byte("1")}, {Name: "eventflow-reason", Value: "an earlier death"}, {Name: "eventflow-offset", Value: []byte("1")}},
	}))
	r := c.records("one", 1)[0]
	require.NoError(t, kafka.DeadLetter(t.Context(), b, r, "one.dlq", eventflow.Failure{
		Reason: "exhausted", Flow: "billing", Version: "v2", Binding: "orders", Attempts: 5, Err: fmt.Errorf("card 4111: %w", &net.AddrError{Err: "secret-2"}),
	}))
	dead := c.records("one.dlq", 1)[0]
	require.Equal(t, "k", string(dead.Key))
	require.Equal(t, "poison", string(dead.Value))
	require.Equal(t, [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", "7"}, {"ce_source", "/shop"}, {"ce_type", "order"}, {"raw", "1"},
		{"eventflow-reason", "exhausted"}, {"eventflow-flow", "billing"}, {"eventflow-version", "v2"}, {"eventflow-attempts", "5"},
		{"eventflow-topic", "one"}, {"eventflow-partition", "0"}, {"eventflow-offset", "0"}, {"eventflow-trigger", "orders"},
		{"eventflow-error", "*net.AddrError"},
	}, pairs(dead))

	require.ErrorIs(t, kafka.DeadLetter(t.Context(), b, r, "", eventflow.Failure{}), eventflow.ErrNoDeadLetters)
	err := kafka.DeadLetter(t.Context(), b, r, "nowhere.dlq", eventflow.Failure{})
	require.ErrorIs(t, err, eventflow.ErrNoTopic)
	require.ErrorContains(t, err, "dead-letter nowhere.dlq")
}

// noise does not get smaller by compression.
func noise(n int) []byte {
	out := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestDeadLetterShrinksToFit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	require.NoError(t, c.CreateTopic("tight.dlq", 1, map[string]string{"max.message.bytes": "600"}))
	b := c.broker(nil)
	require.NoError(t, publisher(t, b, "one").Publish(t.Context(), eventflow.Event{ID: "7", Source: "/s", Data: []byte("0123456789abcdefghijklmnopqrstuvwxyz")}))
	r := c.records("one", 1)[0]
	require.NoError(t, kafka.DeadLetter(t.Context(), b, r, "tight.dlq", eventflow.Failure{Reason: "exhausted", Flow: string(noise(600))}))
	dead := pairs(c.records("tight.dlq", 1)[0])
	require.Contains(t, dead, [2]string{"eventflow-reason", "exhausted"})
	require.Contains(t, dead, [2]string{"ce_id", "7"})
}

// soonAware lets the client look at the cluster as often as a test is patient.
func soonAware(cfg *kafka.Config) {
	cfg.Client = []kgo.Opt{kgo.MetadataMinAge(50 * time.Millisecond), kgo.ConsiderMissingTopicDeletedAfter(500 * time.Millisecond)}
}

func TestTopicThatWasMadeAgainIsFoundAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := publisher(t, c.broker(soonAware), "three")
	require.NoError(t, p.Publish(t.Context(), eventflow.Event{ID: "1"}))
	require.NoError(t, c.DeleteTopic("three"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.ErrorIs(t, p.Publish(ctx, eventflow.Event{ID: "2"}), eventflow.ErrNoTopic)
	require.NoError(t, c.CreateTopic("three", 1, nil))
	for p.Publish(ctx, eventflow.Event{ID: "3"}) != nil {
		require.NoError(t, ctx.Err())
	}
	r := c.records("three", 1)[0]
	require.Equal(t, "3", kafka.Event("c", topicID, r).ID)
}

func TestTopicThatIsMadeAgainBetweenTwoPublishes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := publisher(t, c.broker(soonAware), "three")
	require.NoError(t, p.Publish(t.Context(), eventflow.Event{ID: "1"}))
	require.NoError(t, c.DeleteTopic("three"))
	require.NoError(t, c.CreateTopic("three", 1, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for p.Publish(ctx, eventflow.Event{ID: "3"}) != nil {
		require.NoError(t, ctx.Err())
	}
	require.Equal(t, "3", kafka.Event("c", topicID, c.records("three", 1)[0]).ID)
}
