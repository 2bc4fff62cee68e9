package runner_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// drain takes everything that is in a topic now.
func drain(t *testing.T, s eventflow.Subscriber) (evs []eventflow.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for {
		ds, err := s.Next(ctx, eventflow.Want{Events: 1000})
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, s.Close(t.Context()))
			return evs
		}
		for _, d := range ds {
			evs = append(evs, d.Event)
			d.Ack()
		}
	}
}

func TestARefusedResultIsOfferedAgainWithoutRunningAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		out := b.mem.Subscriber("out")
		b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: 3, Match: func(ev *eventflow.Event) bool { return string(ev.Data) == "k:2!" }})
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { rec.note(s); return s + "!", nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "k:2", "k:3", "4")
		stop := b.listen(r)
		time.Sleep(5 * time.Minute)
		require.NoError(t, stop())
		ran := rec.list()
		slices.Sort(ran)
		require.Equal(t, []string{"1", "4", "k:2", "k:3"}, ran, "each ran once")
		var got []string
		for _, ev := range drain(t, out) {
			got = append(got, string(ev.Data))
		}
		slices.Sort(got)
		require.Equal(t, []string{"1!", "4!", "k:2!", "k:3!"}, got, "each result was published once")
		require.EqualValues(t, 4, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestNothingIsAcknowledgedWhileItsResultIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: -1})
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { return s, nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.Grace(time.Second))
		b.publish("q", "1", "2")
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.EqualValues(t, 2, balanced(t, r).InFlight)
		require.NoError(t, stop())
		require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.HandedBack])
		st := b.mem.Stats("q", "")
		require.Equal(t, 2, st.Queued)
		require.Zero(t, st.Acked)
	})
}

func TestARerunPublishesTheSameIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		// The broker took the result and said it did not: it is published again.
		b.mem.Inject(broker.Fault{Kind: broker.UnconfirmedPublish, Topics: []string{"out"}})
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (eventflow.Many[string], error) {
			return eventflow.Many[string]{s + "1", s + "2"}, nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "a")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		got := ids(drain(t, out))
		require.Len(t, got, 4)
		slices.Sort(got)
		require.Len(t, slices.Compact(got), 2, "two results, each twice with one ID")
	})
}

func TestAResultTooLargeForItsBrokerIsAPermanentFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.MaxEvent(100))
		out := b.mem.Subscriber("out")
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) ([]byte, error) {
			if s == "big" {
				return make([]byte, 101), nil
			}
			return []byte(s), nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "big", "2")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Len(t, drain(t, out), 2)
		dead := b.mem.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, "big", dead[0].Event.ID)
		require.Equal(t, "permanent", dead[0].Reason)
	})
}

func TestADeadLetterThatCannotBeWrittenStopsItsLaneOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		withdraw := b.mem.Inject(broker.Fault{Kind: broker.FailDeadLetter, Times: -1})
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.note(s)
			if s == "k:1" {
				return eventflow.Permanent(errBoom)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxRuns(1))
		b.publish("q", "k:1", "k:2", "l:1")
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"k:1", "l:1"}, rec.list(), "the lane stands still, the flow does not run again")
		require.Positive(t, withdraw())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"k:1", "l:1", "k:2"}, rec.list())
		require.NoError(t, stop())
		require.Len(t, b.mem.DeadLetters("q"), 1)
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.DeadLettered])
	})
}

func TestDeadLetterToSaysWhyAndKeepsTheEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		dead := b.mem.Subscriber("dead")
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return errBoom }, eventflow.Version("1.2")),
			runner.On(b.mem.Subscriber("q")), runner.DeadLetterTo(b.mem.Publisher("dead")), runner.MaxAttempts(2),
			runner.DeadLetterErrors(func(err error) string { return err.Error() + "\x00!" }))
		in := eventflow.Event{ID: "1", Source: "s", Key: "k", Data: []byte("x"), Attributes: eventflow.Attributes{
			{Name: "eventflow-reason", Value: "an earlier death"}, {Name: "trace", Value: "t"},
		}}
		require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), in))
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		got := drain(t, dead)
		require.Len(t, got, 1)
		require.Equal(t, "1", got[0].ID)
		require.Equal(t, "s", got[0].Source)
		require.Equal(t, "x", string(got[0].Data))
		as := got[0].Attributes
		require.Equal(t, eventflow.Attributes{
			{Name: "trace", Value: "t"},
			{Name: "eventflow-reason", Value: "exhausted"},
			{Name: "eventflow-flow", Value: "f"},
			{Name: "eventflow-attempts", Value: "2"},
			{Name: "eventflow-trigger", Value: "memory/q"},
			{Name: "eventflow-version", Value: "1.2"},
			{Name: "eventflow-error", Value: "*errors.errorString"},
			{Name: "eventflow-error-text", Value: "boom !"},
		}, as)
		require.EqualValues(t, 1, b.mem.Stats("q", "").Acked)
	})
}

func TestUndecodableEventsAreDeadLetteredAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewSink("f", func(context.Context, struct{ N int }) error { return nil }), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "not json")
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		dead := b.mem.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, "decode", dead[0].Reason)
		require.Equal(t, 1, dead[0].Attempts)
	})
}

func TestSkipFilterAndMaxAgeAcknowledgeWithTheirReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.note(s)
			if s == "skip" {
				return eventflow.Skip("not today")
			}
			return nil
		}), runner.On(b.mem.Subscriber("q"), runner.Filter(func(ev *eventflow.Event) bool { return ev.ID != "drop" })), runner.MaxAge(time.Hour))
		old := eventflow.Event{ID: "old", Source: "s", Data: []byte("old"), Time: time.Now().Add(-2 * time.Hour)}
		require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), old))
		b.publish("q", "skip", "drop", "run")
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		require.ElementsMatch(t, []string{"skip", "run"}, rec.list())
		c := balanced(t, r)
		require.EqualValues(t, 1, c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "not today"}])
		require.EqualValues(t, 1, c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "filter"}])
		require.EqualValues(t, 1, c.Outcomes[eventflow.Expired])
		require.EqualValues(t, 4, b.mem.Stats("q", "").Acked)
	})
}

// The results of one lane carry its key: they are published in order, also after their publisher was away for a while.
func TestResultsOfALaneStayInOrderWhenTheirPublisherWasAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		until := time.Now().Add(3 * time.Second)
		b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: -1, Match: func(ev *eventflow.Event) bool {
			return ev.Key != "" && time.Now().Before(until)
		}})
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { return s, nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		stop := b.listen(r)
		b.warm()
		b.publish("q", "k:1", "k:2", "x", "k:3", "k:4", "k:5")
		time.Sleep(time.Second)
		require.EqualValues(t, 201, b.mem.Stats("q", "").Acked, "others of the chunk do not wait for it")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		var got []string
		for _, ev := range drain(t, out) {
			if ev.Key != "" {
				got = append(got, string(ev.Data))
			}
		}
		require.Equal(t, []string{"k:1", "k:2", "k:3", "k:4", "k:5"}, got)
		require.EqualValues(t, 206, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

// What the publisher took beyond a refused result cannot be recalled, but its event waits for the refused one.
func TestNothingOfALaneIsAcknowledgedBeforeARefusedResultAheadOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		withdraw := b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: -1, Match: func(ev *eventflow.Event) bool { return string(ev.Data) == "k:1" }})
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { return s, nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		stop := b.listen(r)
		b.warm()
		b.publish("q", "k:1", "k:2", "k:3")
		time.Sleep(time.Hour)
		require.EqualValues(t, 200, b.mem.Stats("q", "").Acked)
		withdraw()
		time.Sleep(time.Minute)
		require.EqualValues(t, 203, b.mem.Stats("q", "").Acked)
		require.NoError(t, stop())
	})
}
