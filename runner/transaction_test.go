package runner_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// pickyTill refuses transactions with a result that its broker will never take.
type pickyTill struct{ transactional }

func (s *pickyTill) Transact(ctx context.Context, tx eventflow.Transaction) error {
	for _, res := range tx.Results {
		for _, ev := range res.Events {
			if strings.Contains(string(ev.Data), "large") {
				return fmt.Errorf("a result: %w", eventflow.ErrTooLarge)
			}
		}
	}
	return s.transactional.Transact(ctx, tx)
}

// A result that is too large for its broker is a permanent failure, with transactions as without.
func TestResultThatATransactionWillNeverTakeIsDeadLettered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		pub := b.mem.Publisher("out")
		src := &pickyTill{transactional{Subscriber: b.mem.Subscriber("q"), pub: pub}}
		var runs atomic.Int64
		r := b.new(eventflow.NewFlow("f", func(ctx context.Context, s string) (string, error) {
			if s == "large" && runs.Add(1) > 20 {
				<-ctx.Done() // lest it goes round for ever without time passing
			}
			return s, nil
		}), runner.On(src, runner.Named("tx")), runner.PublishTo(pub))
		b.publish("q", "small", "large")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Len(t, b.mem.DeadLetters("q"), 1, "after %d runs", runs.Load())
	})
}

// What a transaction has committed is told as succeeded, not as handed back because its delivery is settled.
func TestDecisionOfATransactionIsItsOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		pub := b.mem.Publisher("out")
		src := &transactional{Subscriber: b.mem.Subscriber("q"), pub: pub}
		var mu sync.Mutex // guards told
		var told []string
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { return s, nil }),
			runner.On(src, runner.Named("tx")), runner.PublishTo(pub), runner.Hooks(runner.HookFunc(func(d runner.Decision) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprintf("%v %s", d.Outcome, d.Reason))
			})))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Contains(t, told, "succeeded ")
		require.NotContains(t, strings.Join(told, ", "), "lock lost")
	})
}

// The results of a batch belong to all of its events: those that are acknowledged take them along, whichever of the others
// has lost its lock.
func TestResultsOfABatchAreInItsTransactionThoughOneLockIsLost(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			pub := b.mem.Publisher("out")
			src := &lossyTill{transactional: transactional{Subscriber: b.mem.Subscriber("q"), pub: pub}}
			out := b.mem.Subscriber("out")
			var once sync.Once
			r := b.new(eventflow.NewFlow("f", func(_ context.Context, in eventflow.Batch[string]) (string, error) {
				if len(in) == 3 {
					once.Do(func() { src.handed[i].Lose() })
				}
				return fmt.Sprint(len(in)), nil
			}), runner.On(src, runner.Named("tx")), runner.PublishTo(pub), runner.BatchOf(3, time.Second))
			b.publish("q", "k:1", "k:2", "k:3")
			stop := b.listen(r)
			time.Sleep(time.Minute)
			require.NoError(t, stop())
			require.NotEmpty(t, drain(t, out), "two events are acknowledged and their result is nowhere (lost was number %d)", i)
		})
	}
}

// lossyTill remembers what it has handed over.
type lossyTill struct {
	transactional
	handed []*eventflow.Delivery
}

func (s *lossyTill) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	ds, err := s.transactional.Next(ctx, want)
	s.handed = append(s.handed, ds...)
	return ds, err
}
