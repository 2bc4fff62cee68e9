package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
	"github.com/eventflow-go/eventflow/store"
)

var errPoison = errors.New("poison")

// journal records the runs of flows.
type journal struct {
	mu   sync.Mutex // guards runs
	runs []string
}

func (j *journal) notef(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs = append(j.runs, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.runs...)
}

// listen runs a runner until enough reports true, and then until Listen returns.
func (b *bundle) listen(enough func() bool, flow *eventflow.Flow, opts ...runner.Option) {
	b.t.Helper()
	r, err := runner.New(flow, opts...)
	require.NoError(b.t, err)
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var listening sync.WaitGroup
	listening.Go(func() { require.NoError(b.t, r.Listen(ctx)) })
	for end := time.Now().Add(time.Hour); !enough(); time.Sleep(time.Second) {
		require.True(b.t, time.Now().Before(end), "it takes too long")
	}
	stop()
	listening.Wait()
}

// Only the poison event of a group dead-letters, and its neighbours run once each, in order, though the queue's own limit
// of receives is near.
func TestPoisonOfAGroupDeadLettersAlone(t *testing.T) {
	t.Parallel()
	for place, opts := range map[string][]eventflow.SubscriberOption{
		"a queue of our own":         {sqs.DeadLetterQueue("dead.fifo")},
		"the queue's redrive policy": nil,
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, "dead.fifo", sqstest.Queue{})
				b.queue = "q.fifo"
				require.NoError(t, b.server.CreateQueue("q.fifo", sqstest.Queue{DeadLetterQueue: "dead.fifo", MaxReceiveCount: 8}))
				b.publish(10, "group")
				var j journal
				flow := eventflow.NewSink("poisoned", func(_ context.Context, ev eventflow.Event) error {
					j.notef("%s", ev.ID)
					if ev.ID == "e-0" {
						return errPoison
					}
					return nil
				})
				settled := func() bool { return b.server.Stats("q.fifo") == sqstest.Stats{} }
				b.listen(settled, flow, runner.On(b.broker.Subscriber("q.fifo", opts...)), runner.MaxAttempts(3))
				require.Equal(t, []string{"e-0", "e-0", "e-0", "e-1", "e-2", "e-3", "e-4", "e-5", "e-6", "e-7", "e-8", "e-9"}, j.all())
				require.Equal(t, 1, b.server.Stats("dead.fifo").Visible)
			})
		})
	}
}

func TestExhaustedEventOfAStandardQueueIsMovedByItsRedrivePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "dead", sqstest.Queue{})
		b.queue = "q"
		require.NoError(t, b.server.CreateQueue("q", sqstest.Queue{DeadLetterQueue: "dead", MaxReceiveCount: 12}))
		b.publish(30)
		var j journal
		flow := eventflow.NewSink("poisoned", func(_ context.Context, ev eventflow.Event) error {
			j.notef("%s", ev.ID)
			if ev.ID == "e-7" {
				return eventflow.Permanent(errPoison)
			}
			return nil
		})
		settled := func() bool { return b.server.Stats("q") == sqstest.Stats{} }
		b.listen(settled, flow, runner.On(b.broker.Subscriber("q")), runner.MaxInFlight(4))
		require.Len(t, j.all(), 30, "the poison ran once, and so did the others")
		require.Equal(t, 1, b.server.Stats("dead").Visible)
	})
}

func TestPoisonThatIsLeftIsNeverDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		b.publish(2)
		var j journal
		flow := eventflow.NewSink("poisoned", func(_ context.Context, ev eventflow.Event) error {
			j.notef("%s", ev.ID)
			if ev.ID == "e-0" {
				return eventflow.Permanent(errPoison)
			}
			return nil
		})
		b.listen(func() bool { return len(j.all()) >= 4 }, flow, runner.On(b.broker.Subscriber("q", sqs.LeavePoison())))
		st := b.server.Stats("q")
		require.Equal(t, 1, st.Visible+st.InFlight)
	})
}

// Two flows see the same event; a queue is made anew; a dead letter is redriven: each of them runs, by one store.
func TestEveryFlowQueueAndRedriveRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		for _, name := range []string{"other", "dead"} {
			require.NoError(t, b.server.CreateQueue(name, sqstest.Queue{}))
		}
		shared := store.NewMemory()
		var j journal
		fail := true
		flow := func(name string) *eventflow.Flow {
			return eventflow.NewSink(name, func(ctx context.Context, ev eventflow.Event) error {
				run := eventflow.RunFrom(ctx)
				j.notef("%s %s %d", name, ev.Data, run.Key.Redrive)
				if fail && string(ev.Data) == "poison" {
					return eventflow.Permanent(errPoison)
				}
				return nil
			})
		}
		run := func(name, queue string) {
			b.listen(func() bool { return b.server.Stats(queue) == sqstest.Stats{} }, flow(name),
				runner.On(b.broker.Subscriber(queue, sqs.DeadLetterQueue("dead"))), runner.Store(shared))
		}
		send := func(queue string, evs ...eventflow.Event) {
			require.NoError(t, b.broker.Publisher(queue).Publish(b.ctx, evs...))
		}
		named := eventflow.Event{ID: "1", Source: "/s", Type: "t", Data: []byte("named")}
		send("q", named, named, eventflow.Event{Data: []byte("plain")})
		send("other", named)
		run("a", "q")
		run("b", "other")
		require.ElementsMatch(t, []string{"a named 0", "a plain 0", "b named 0"}, j.all(), "the same event twice is one run of a flow")

		require.NoError(t, b.server.DeleteQueue("q"))
		require.NoError(t, b.server.CreateQueue("q", sqstest.Queue{}))
		j.runs = nil
		send("q", eventflow.Event{Data: []byte("plain")}, eventflow.Event{ID: "2", Source: "/s", Type: "t", Data: []byte("poison")})
		run("a", "q")
		require.ElementsMatch(t, []string{"a plain 0", "a poison 0"}, j.all())
		require.Equal(t, 1, b.server.Stats("dead").Visible)

		fail, j.runs = false, nil
		admin := b.admin()
		require.NoError(t, redrive(b.ctx, admin, b.server.QueueURL("dead"), b.server.QueueURL("q")))
		run("a", "q")
		require.Equal(t, []string{"a poison 1"}, j.all())
	})
}

func TestAnotherConsumerHasWhatIsSentAfterAShutdownInTheMidstOfALongPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		flow := eventflow.NewSink("idle", func(context.Context, []byte) error { return nil })
		r, err := runner.New(flow, runner.On(b.broker.Subscriber("q", sqs.LeavePoison())))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(b.ctx)
		time.AfterFunc(3*time.Second, stop)
		require.NoError(t, r.Listen(ctx))
		b.publish(1)
		s := b.broker.Subscriber("q")
		soon, cancel := context.WithTimeout(b.ctx, 2*time.Second)
		defer cancel()
		ds, err := s.Next(soon, eventflow.Want{Events: 1})
		require.NoError(t, err)
		ds[0].Ack()
	})
}

func TestDeafFlowIsAbandonedAndItsMessageComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 30 * time.Second})
		b.publish(1)
		began, deaf := make(chan struct{}), make(chan struct{})
		flow := eventflow.NewSink("deaf", func(context.Context, []byte) error {
			close(began)
			<-deaf
			return nil
		})
		r, err := runner.New(flow, runner.On(b.broker.Subscriber("q", sqs.LeavePoison())), runner.Grace(5*time.Second), runner.HardStop(5*time.Second))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(b.ctx)
		go func() {
			<-began
			stop()
		}()
		err = r.Listen(ctx)
		require.ErrorIs(t, err, eventflow.ErrAbandoned)
		s := b.broker.Subscriber("q")
		d := b.next(s, 1)[0]
		close(deaf)
		time.Sleep(time.Second)
		require.True(t, d.Open())
		require.Equal(t, 1, b.server.Stats("q").InFlight, "what the deaf flow returned settles nothing")
		d.Ack()
	})
}
