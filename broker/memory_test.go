package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

func TestBadOptionsAreToldAllAtOnce(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory(
		broker.Capacity(0), broker.CapacityBytes(-1), broker.Lease(0), broker.MaxReceives(0), broker.MaxEvent(0),
		broker.DeadLetterCapacity(0), broker.Declare("a", ""), nil,
	)
	for _, field := range []string{
		"broker.Capacity:", "broker.CapacityBytes:", "broker.Lease:", "broker.MaxReceives:", "broker.MaxEvent:",
		"broker.DeadLetterCapacity:", "broker.Declare:", "broker.NewMemory option:",
	} {
		require.ErrorContains(t, m.Err(), field)
	}
	require.ErrorIs(t, m.Err(), eventflow.ErrFatal)
}

func TestBadOptionsWaitInWhatIsOpened(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory(broker.Capacity(0))
	_, err := m.OpenPublisher("q")
	require.ErrorContains(t, err, "broker.Capacity")
	_, err = m.OpenSubscriber("q")
	require.ErrorContains(t, err, "broker.Capacity")

	p, s := m.Publisher("q"), m.Subscriber("q")
	require.ErrorContains(t, p.(interface{ Err() error }).Err(), "broker.Capacity")
	require.ErrorContains(t, s.(interface{ Err() error }).Err(), "broker.Capacity")
	require.ErrorContains(t, p.Publish(t.Context(), eventflow.Event{}), "broker.Capacity")
	require.ErrorContains(t, s.Start(t.Context(), eventflow.Listening{}), "broker.Capacity")
	_, err = s.Next(t.Context(), eventflow.Want{})
	require.ErrorContains(t, err, "broker.Capacity")
	require.NoError(t, p.Close(t.Context()))
	require.NoError(t, s.Close(t.Context()))
}

type foreignOption struct{}

func (foreignOption) ApplySubscriber(c *eventflow.SubscriberConfig) error { return foreign(c.Native) }
func (foreignOption) ApplyPublisher(c *eventflow.PublisherConfig) error   { return foreign(c.Native) }

func foreign(native any) error {
	if _, ok := native.(*int); !ok {
		return &eventflow.ConfigError{Field: "other.Option", Value: fmt.Sprintf("%T", native), Allowed: "another broker"}
	}
	return nil
}

func TestOptionOfAnotherBrokerFailsByName(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory()
	_, err := m.OpenSubscriber("q", foreignOption{})
	require.ErrorContains(t, err, "other.Option")
	_, err = m.OpenPublisher("q", foreignOption{})
	require.ErrorContains(t, err, "other.Option")
	require.ErrorContains(t, m.Subscriber("q", foreignOption{}).(interface{ Err() error }).Err(), "other.Option")
}

func TestTopicWithoutANameAndNilOptionsAreRefused(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory()
	_, err := m.OpenPublisher("", nil)
	require.ErrorContains(t, err, "broker.Memory topic")
	require.ErrorContains(t, err, "broker.Memory publisher option")
	_, err = m.OpenSubscriber("", nil, eventflow.Group(""))
	require.ErrorContains(t, err, "broker.Memory topic")
	require.ErrorContains(t, err, "broker.Memory subscriber option")
	require.ErrorContains(t, err, "eventflow.Group")
	topics, err := m.Topics(t.Context())
	require.NoError(t, err)
	require.Empty(t, topics, "what failed to open made no topic")
}

func TestUndeclaredTopicOpensAndFailsOnFirstUse(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory(broker.Declare("a"), broker.Declare("c", "b"))
	p, err := m.OpenPublisher("d")
	require.NoError(t, err)
	require.ErrorIs(t, p.Publish(t.Context(), eventflow.Event{}), eventflow.ErrNoTopic)
	require.NoError(t, p.Close(t.Context()))
	s, err := m.OpenSubscriber("d")
	require.NoError(t, err)
	require.ErrorIs(t, s.Start(t.Context(), eventflow.Listening{}), eventflow.ErrNoTopic)
	_, err = s.Next(t.Context(), eventflow.Want{})
	require.ErrorIs(t, err, eventflow.ErrNoTopic)
	require.NoError(t, s.Close(t.Context()))

	require.NoError(t, m.Publisher("a").Publish(t.Context(), eventflow.Event{}))
	topics, err := m.Topics(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, topics)
}

func TestNameOfASubscriberTellsTopicAndGroup(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory()
	require.Equal(t, "memory/uploads", fmt.Sprint(m.Subscriber("uploads")))
	require.Equal(t, "memory/uploads?group=audit", fmt.Sprint(m.Subscriber("uploads", eventflow.Group("audit"))))
	require.Equal(t, "memory/eu/uploads", fmt.Sprint(m.Publisher("eu/uploads")))
	require.NotEqual(t, fmt.Sprint(m.Subscriber("a?group=b")), fmt.Sprint(m.Subscriber("a", eventflow.Group("b"))))
}

func TestFeaturesFollowTheOptions(t *testing.T) {
	t.Parallel()
	f := broker.NewMemory(broker.Lease(time.Second), broker.MaxEvent(5)).Features()
	require.True(t, f.Lanes && f.Groups && f.ExactAttempt && f.DeadLetter)
	require.Equal(t, time.Second, f.MaxLock)
	require.Equal(t, 5, f.MaxEvent)
	require.Positive(t, f.MaxNack)
}

func TestClosedBrokerEndsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(2))
		b.publish("1", "2")
		d := b.next(1)[0]
		waiting := b.m.Subscriber("empty")
		errs := make(chan error, 2)
		go func() { errs <- b.p.Publish(t.Context(), eventflow.Event{}) }()
		go func() { _, err := waiting.Next(t.Context(), eventflow.Want{}); errs <- err }()
		synctest.Wait()

		require.NoError(t, b.m.Close(t.Context()))
		require.ErrorIs(t, <-errs, eventflow.ErrClosed, "what waited")
		require.ErrorIs(t, <-errs, eventflow.ErrClosed, "what waited")
		require.False(t, d.Open(), "what was handed over is fenced")
		d.Ack()
		require.ErrorIs(t, b.p.Publish(t.Context(), eventflow.Event{}), eventflow.ErrClosed)
		require.ErrorIs(t, b.s.Start(t.Context(), eventflow.Listening{}), eventflow.ErrClosed)
		_, err := b.s.Next(t.Context(), eventflow.Want{})
		require.ErrorIs(t, err, eventflow.ErrClosed)
		_, err = b.m.OpenPublisher("q")
		require.ErrorIs(t, err, eventflow.ErrClosed)
		_, err = b.m.OpenSubscriber("q")
		require.ErrorIs(t, err, eventflow.ErrClosed)
		_, err = b.m.Redrive("q")
		require.ErrorIs(t, err, eventflow.ErrClosed)
		require.ErrorIs(t, b.m.WaitSettled(t.Context(), "q"), eventflow.ErrClosed)
		require.NoError(t, b.m.Close(t.Context()))
		require.Equal(t, 2, b.m.Stats("q", "").Queued, "events can still be looked at")
	})
}

// Channels and timers belong to the bubble that they are made in, so none may be made before there is something to wait
// for.
func TestBrokerOpenedOutsideABubbleWorksInside(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(2))
	before := b.m.Subscriber("q")
	require.NoError(t, before.Start(t.Context(), eventflow.Listening{}))
	require.NoError(t, before.Close(t.Context()))
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		start := time.Now()
		b.publish("1", "2")
		blocked := make(chan error)
		go func() { blocked <- b.p.Publish(t.Context(), eventflow.Event{Data: []byte("3")}) }()
		synctest.Wait()
		ds := b.next(2)
		require.Equal(t, start.Add(30*time.Second), ds[0].LockedUntil)
		ds[0].Nack(time.Hour)
		ack(ds[1])
		require.NoError(t, <-blocked)
		ack(b.next(1)...)
		ds = b.next(1)
		require.Equal(t, "1", string(ds[0].Event.Data))
		require.Equal(t, time.Hour, time.Since(start))
		ds[0].Settle(eventflow.Settlement{Verb: eventflow.Abandon})
		ack(b.next(1)...)
		require.Equal(t, time.Hour+30*time.Second, time.Since(start))
		require.NoError(t, b.m.WaitSettled(t.Context()))
	})
	require.NoError(t, b.s.Close(t.Context()))
	require.NoError(t, b.m.Close(t.Context()))
}
