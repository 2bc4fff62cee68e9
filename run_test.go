package eventflow_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestRunFromIsNeverNil(t *testing.T) {
	t.Parallel()
	for what, ctx := range map[string]context.Context{
		"outside a run": t.Context(),
		"in a nil run":  eventflow.WithRun(t.Context(), nil),
	} {
		run := eventflow.RunFrom(ctx)
		require.NotNil(t, run, what)
		require.Zero(t, *run, what)
		require.Nil(t, run.Event(), what)
		require.Empty(t, run.Events(), what)
	}
	a, b := eventflow.RunFrom(t.Context()), eventflow.RunFrom(t.Context())
	require.NotSame(t, a, b, "what one caller does to its empty run, no other sees")
}

func TestWithRunGivesTheRunToTheFlow(t *testing.T) {
	t.Parallel()
	var seen *eventflow.Run
	f := eventflow.NewJob("f", func(ctx context.Context) error {
		seen = eventflow.RunFrom(ctx)
		return nil
	})
	run := runOf(f)
	ctx, cancel := context.WithCancel(eventflow.WithRun(t.Context(), run))
	defer cancel()
	_, err := f.Call(ctx, run, nil)
	require.NoError(t, err)
	require.Same(t, run, seen, "through contexts that were derived too")
}

func TestAContextOfAnotherPackageCanAnswerForItsRun(t *testing.T) {
	t.Parallel()
	run := runOf(eventflow.NewJob("f", func(context.Context) error { return nil }))
	require.Same(t, run, eventflow.RunFrom(answering{t.Context(), run}))
	require.False(t, eventflow.IsRunKey("run"))
	require.False(t, eventflow.IsRunKey(nil))
}

// answering is a context as a runner has one.
type answering struct {
	context.Context //nolint:containedctx // a context of a type of its own

	run *eventflow.Run
}

func (c answering) Value(key any) any {
	if eventflow.IsRunKey(key) {
		return c.run
	}
	return c.Context.Value(key)
}

func TestANewRunIsAFirstAttempt(t *testing.T) {
	t.Parallel()
	f := eventflow.NewJob("f", func(context.Context) error { return nil }, eventflow.Version("v1"))
	ev := event("1", "")
	run := runOf(f, ev)
	require.Equal(t, 1, run.Attempt)
	require.Equal(t, "f", run.FlowName)
	require.Equal(t, "v1", run.Version)
	require.Equal(t, "f/in/src/1", run.ID())
	require.Nil(t, run.Fire)
	require.True(t, run.Deadline.IsZero())
}

func TestARunKnowsItsEvents(t *testing.T) {
	t.Parallel()
	f := eventflow.NewJob("f", func(context.Context) error { return nil })
	evs := numbers("a", "b", "c")

	require.Nil(t, runOf(f).Event())
	require.Nil(t, runOf(f).Events())

	one := runOf(f, evs[0])
	require.Same(t, evs[0], one.Event())
	require.Equal(t, evs[:1], one.Events())

	given := append([]*eventflow.Event(nil), evs...)
	run := eventflow.NewRun(f, eventflow.Key{}, given...)
	given[0], given[1] = nil, nil
	require.Same(t, evs[0], run.Event(), "the first of several")
	require.Equal(t, evs, run.Events(), "the caller's slice is the caller's")

	run.UseCodecs(&eventflow.Codecs{Decode: &rot13{}})
	run.Attempt, run.Fire = 5, &eventflow.Fire{}
	run.Init(f, eventflow.Key{ID: "2"}, evs[2])
	require.Equal(t, *eventflow.NewRun(f, eventflow.Key{ID: "2"}, evs[2]), *run, "Init leaves nothing of the run before")
}

// It counts allocations, so it cannot run beside other tests.
func TestRunFromAllocatesNothingInARun(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun forbids it
	run := runOf(eventflow.NewJob("f", func(context.Context) error { return nil }))
	ctx := eventflow.WithRun(t.Context(), run)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if eventflow.RunFrom(ctx) != run {
			t.Error("not the run")
		}
	}))
}
