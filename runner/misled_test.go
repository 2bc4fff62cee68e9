package runner_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// Events that a filter skips say nothing of whether the others fit: they must not hide a bad deploy.
func TestFilteredEventsDoNotHideABadDeploy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		type order struct{ ID int }
		f := eventflow.NewSink("f", func(context.Context, order) error { return nil })
		r := b.new(f, runner.On(b.mem.Subscriber("q"), runner.Filter(func(ev *eventflow.Event) bool { return ev.Subject != "other" })),
			runner.PauseAfterDecodeFailures(20))
		for i := range 1000 { // a tenth is for somebody else
			ev := eventflow.Event{ID: fmt.Sprint(i), Source: "s", Data: []byte("not what it expects")}
			if i%10 == 0 {
				ev.Subject = "other"
			}
			require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), ev))
		}
		stop := b.listen(r)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Less(t, len(b.mem.DeadLetters("q")), 100, "the backlog went to the dead letters")
	})
}

// A hook that calls runtime.Goexit, as require does in a hook of a test, must not make finished runs run again.
func TestGoexitInAHookRunsNothingAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var mu sync.Mutex
		runs := map[string]int{}
		exit := true
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			mu.Lock()
			runs[s]++
			mu.Unlock()
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			mu.Lock()
			e := exit && d.Key.ID == "x3"
			if e {
				exit = false
			}
			mu.Unlock()
			if e {
				runtime.Goexit()
			}
		})))
		stop := b.listen(r)
		b.warm()
		b.publish("q", "x1", "x2", "x3", "x4", "x5")
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		balanced(t, r)
		for id, n := range runs {
			require.Equal(t, 1, n, id)
		}
	})
}
