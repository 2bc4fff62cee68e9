package runner_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

type traceKey struct{}

// Runs of one chunk share memory; what a flow keeps of one is that run's all the same, asked for or not.
func TestAKeptContextIsThatOfItsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		kept, asked := map[string]context.Context{}, map[string]*eventflow.Run{}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, id string) error {
			if kept[id] = ctx; len(kept)%2 == 0 {
				asked[id] = eventflow.RunFrom(ctx)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxRuns(1), runner.Timeout(time.Hour))
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), traceKey{}, "trace"))
		done := make(chan error, 1)
		go func() { done <- r.Listen(ctx) }()
		b.warm()
		cancel()
		require.NoError(t, <-done)

		require.Len(t, kept, 200)
		require.Len(t, asked, 100)
		fences := map[int]bool{}
		for id, ctx := range kept {
			run := eventflow.RunFrom(ctx)
			require.Equal(t, id, run.Key.ID)
			require.Equal(t, id, run.Event().ID)
			require.Equal(t, "test", run.Key.Source)
			require.Equal(t, "f", run.FlowName)
			require.Equal(t, 1, run.Attempt)
			require.False(t, fences[run.Fence], "a fence is one run's")
			fences[run.Fence] = true
			if asked[id] != nil {
				require.Same(t, asked[id], run)
			}
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.True(t, deadline.Equal(run.Deadline))
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			require.ErrorIs(t, context.Cause(ctx), eventflow.ErrRunEnded)
			<-ctx.Done()
			require.Equal(t, "trace", ctx.Value(traceKey{}))
		}
	})
}

func TestGoroutinesMayAskAContextWhileItsRunEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const events, each = 200, 3
	var askers sync.WaitGroup
	askers.Add(events * each)
	r := b.new(eventflow.NewSink("f", func(ctx context.Context, id string) error {
		for i := range each {
			go func() {
				defer askers.Done()
				switch i {
				case 0:
					<-ctx.Done()
					if cause := context.Cause(ctx); cause != eventflow.ErrRunEnded { //nolint:errorlint // it is that one itself
						t.Errorf("the run of %s ended with %v", id, cause)
					}
				case 1:
					if got := eventflow.RunFrom(ctx).Key.ID; got != id {
						t.Errorf("the run of %s says that it is that of %s", id, got)
					}
				default:
					_ = ctx.Err()
				}
			}()
		}
		return nil
	}), runner.On(b.mem.Subscriber("q")))
	for i := range events {
		b.publish("q", fmt.Sprint(i))
	}
	stop := b.listen(r)
	askers.Wait()
	require.NoError(t, stop())
}

// A flow that changes its event, which it should not, is still told of the run that was claimed.
func TestARunIsThatOfItsClaimWhateverTheFlowDoesToItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keys := make(chan eventflow.Key, 1)
	r := b.new(eventflow.NewSink("f", func(ctx context.Context, ev *eventflow.Event) error {
		ev.ID, ev.Source = "another", "elsewhere"
		keys <- eventflow.RunFrom(ctx).Key
		return nil
	}), runner.On(b.mem.Subscriber("q"), runner.Named("src")))
	b.publish("q", "1")
	stop := b.listen(r)
	require.Equal(t, eventflow.Key{Flow: "f", Binding: "src", Source: "test", ID: "1"}, <-keys)
	require.NoError(t, stop())
}
