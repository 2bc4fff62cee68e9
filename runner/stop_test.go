package runner_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// chunkThenStop stops a runner from inside the first run of a chunk of 32, which then goes on for a second, or is deaf. It gives
// how many runs began after the stop, how long Listen took, and its error.
func chunkThenStop(t *testing.T, key string, deaf <-chan struct{}) (began int64, took time.Duration, b *bundle, err error) {
	t.Helper()
	b = setup(t)
	var stopped atomic.Bool
	var n atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	f := eventflow.NewSink("f", func(_ context.Context, s string) error {
		switch {
		case s[0] == 'w':
			return nil
		case stopped.Swap(true):
			n.Add(1)
			time.Sleep(time.Second)
			return nil
		}
		cancel()
		if deaf != nil {
			<-deaf
		}
		time.Sleep(time.Second)
		return nil
	})
	r := b.new(f, runner.On(b.mem.Subscriber("q")))
	done := make(chan error, 1)
	go func() { done <- r.Listen(ctx) }()
	for i := range 2000 {
		b.publish("q", fmt.Sprintf("w%d", i))
	}
	synctest.Wait()
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("%sx%d", key, i))
	}
	b.publish("q", ids...)
	<-ctx.Done()
	at := time.Now()
	err = <-done
	return n.Load(), time.Since(at), b, err
}

func TestNothingBeginsAfterTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, took, _, err := chunkThenStop(t, "k:", nil)
		require.NoError(t, err)
		require.LessOrEqual(t, took, 2*time.Second, "one run of a second was live when Listen was told to stop; %d more began", began)
		require.Zero(t, began)
	})
}

func TestWhatWaitsBehindADeafRunIsHandedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deaf := make(chan struct{})
		_, _, b, err := chunkThenStop(t, "k:", deaf)
		close(deaf)
		time.Sleep(time.Minute)
		var abandoned *eventflow.AbandonedError
		require.ErrorAs(t, err, &abandoned)
		t.Log(b.mem.Stats("q", ""))
		require.Len(t, abandoned.Runs, 1, "only one run ever began")
	})
}

// Busy is no attempt, also when the store does not hear of it at once; nor does it cost a lease.
func TestBusyCountsNothingWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), &outage{Store: store.NewMemory()}
		var attempts []int
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			if len(attempts) < 4 {
				st.down.Store(true) // for half a second
				time.AfterFunc(500*time.Millisecond, func() { st.down.Store(false) })
				return eventflow.Busy(time.Second)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Store(st))
		b.publish("q", "k:1")
		began := time.Now()
		stop := b.listen(r)
		require.NoError(t, b.mem.WaitSettled(t.Context(), "q"))
		took := time.Since(began)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 1, 1, 1}, attempts)
		require.Less(t, took, 10*time.Second, "its lane stood still for a lease each time")
	})
}

// A run that sees its cancellation late, but within the hard stop, is no attempt either, and leaves no claim behind.
func TestALateHandBackReleasesItsClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var slow atomic.Bool
		slow.Store(true)
		attempt := make(chan int, 9)
		f := eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			if slow.Load() {
				<-ctx.Done()
				time.Sleep(7 * time.Second) // of the 10 s of the hard stop
				return ctx.Err()
			}
			attempt <- eventflow.RunFrom(ctx).Attempt
			return nil
		})
		b.publish("q", "1")
		stop := b.listen(b.new(f, runner.On(b.mem.Subscriber("q")), runner.Store(st), runner.Grace(time.Second)))
		synctest.Wait()
		require.NoError(t, stop())
		slow.Store(false)
		began := time.Now()
		stop = b.listen(b.new(f, runner.On(b.mem.Subscriber("q")), runner.Store(st)))
		got := <-attempt
		took := time.Since(began)
		require.NoError(t, stop())
		require.Equal(t, 1, got, "a cancellation is no attempt")
		require.Less(t, took, time.Second, "another consumer has it at once")
	})
}
