package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// batches notes each batch as its IDs joined.
func batches(rec *recorder, fail func(eventflow.Batch[string]) error) *eventflow.Flow {
	return eventflow.NewSink("f", func(_ context.Context, b eventflow.Batch[string]) error {
		rec.note(strings.Join(b.Values(), " "))
		if fail == nil {
			return nil
		}
		return fail(b)
	})
}

func TestABatchStaysWithinItsLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		b.publish("q", "a:1", "b:1", "a:2", "b:2", "a:3", "a:4", "x", "y")
		r := b.new(batches(rec, nil), runner.On(b.mem.Subscriber("q")), runner.BatchOf(3, 0))
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		require.ElementsMatch(t, []string{"a:1 a:2 a:3", "a:4", "b:1 b:2", "x y"}, rec.list())
		require.EqualValues(t, 8, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestABatchWaitsForMoreAndNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(batches(rec, nil), runner.On(b.mem.Subscriber("q")), runner.BatchOf(3, 10*time.Second))
		stop := b.listen(r)
		b.publish("q", "1")
		time.Sleep(9 * time.Second)
		b.publish("q", "2")
		require.Empty(t, rec.list())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1 2"}, rec.list())
		b.publish("q", "3", "4", "5")
		synctest.Wait()
		require.Equal(t, []string{"1 2", "3 4 5"}, rec.list(), "a full one does not wait")
		b.publish("q", "6")
		synctest.Wait()
		require.NoError(t, stop())
		require.Len(t, rec.list(), 2)
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.HandedBack])
	})
}

// The wait belongs to the first event of a batch: that of a batch which filled up earlier must not cut the next one's.
func TestAFullBatchLeavesTheNextOneItsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(batches(rec, nil), runner.On(b.mem.Subscriber("q")), runner.BatchOf(3, 10*time.Second))
		stop := b.listen(r)
		b.publish("q", "1")
		time.Sleep(5 * time.Second)
		b.publish("q", "2", "3")
		time.Sleep(4 * time.Second)
		b.publish("q", "4")
		time.Sleep(9 * time.Second)
		require.Equal(t, []string{"1 2 3"}, rec.list())
		b.publish("q", "5")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"1 2 3", "4 5"}, rec.list())
		require.NoError(t, stop())
	})
}

func TestOnlyTheFailedItemsOfABatchRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(batches(rec, func(batch eventflow.Batch[string]) error {
			var failed eventflow.BatchError
			for i, it := range batch {
				if it.Value == "2" {
					failed.Add(i, errBoom)
				}
				if it.Value == "3" {
					failed.Add(i, eventflow.Permanent(errBoom))
				}
			}
			return failed.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(2))
		b.publish("q", "1", "2", "3", "4")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"1 2 3 4", "2"}, rec.list())
		reasons := map[string]string{}
		for _, d := range b.mem.DeadLetters("q") {
			reasons[d.Event.ID] = d.Reason
		}
		require.Equal(t, map[string]string{"2": "exhausted", "3": "permanent"}, reasons)
		require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestInALaneTheFirstFailureHoldsWhatIsBehindIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		first := true
		r := b.new(batches(rec, func(eventflow.Batch[string]) error {
			var failed eventflow.BatchError
			if first {
				first = false
				failed.Add(1, errBoom)
			}
			return failed.Err()
		}), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "k:1", "k:2", "k:3")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"k:1 k:2 k:3", "k:2 k:3"}, rec.list())
		require.EqualValues(t, 3, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestAPoisonInABatchIsIsolatedByHalving(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{false, true} {
		t.Run(fmt.Sprintf("keyed=%v", keyed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				var in []string
				for i := range 16 {
					id := fmt.Sprint(i)
					if keyed {
						id = "k:" + id
					}
					in = append(in, id)
				}
				r := b.new(batches(rec, func(batch eventflow.Batch[string]) error {
					for _, it := range batch {
						if it.Value == in[5] {
							return errors.New("somewhere in here")
						}
					}
					return nil
				}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(3))
				b.publish("q", in...)
				stop := b.listen(r)
				time.Sleep(time.Hour)
				require.NoError(t, stop())
				dead := b.mem.DeadLetters("q")
				require.Len(t, dead, 1)
				require.Equal(t, in[5], dead[0].Event.ID)
				require.Equal(t, 3, dead[0].Attempts, "halving is no attempt")
				require.EqualValues(t, 15, balanced(t, r).Outcomes[eventflow.Succeeded])
			})
		})
	}
}

func TestWhatCannotBeDecodedDoesNotTakeItsBatchAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		runs := 0
		f := eventflow.NewSink("f", func(_ context.Context, batch eventflow.Batch[int]) error {
			if runs++; len(batch) > 1 {
				return errors.New("too many at once")
			}
			return nil
		})
		in := b.mem.Publisher("q")
		for i, data := range []string{"1", "2", "x"} {
			require.NoError(t, in.Publish(t.Context(), eventflow.Event{ID: fmt.Sprint(i), Key: "k", Data: []byte(data)}))
		}
		r := b.new(f, runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(3))
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		dead := b.mem.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, "2", dead[0].Event.ID)
		require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestABatchsResultsBelongToAllItsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		withdraw := b.mem.Inject(failing("out"))
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, in eventflow.Batch[string]) (string, error) {
			return strings.Join(in.Values(), " "), nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "2", "3")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.Zero(t, b.mem.Stats("q", "").Acked, "none is acknowledged while their result is refused")
		withdraw()
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.EqualValues(t, 3, b.mem.Stats("q", "").Acked)
		got := drain(t, out)
		require.Len(t, got, 1)
		require.Equal(t, "1 2 3", string(got[0].Data))
	})
}

func TestABatchWhoseResultIsNeverTakenIsDeadLetteredWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.MaxEvent(10))
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, _ eventflow.Batch[string]) (string, error) {
			return strings.Repeat("x", 11), nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "2", "3")
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		require.Len(t, b.mem.DeadLetters("q"), 3, "none is acknowledged although its result was lost")
	})
}

func TestABatchsResultsSurviveTheLockOfOneOfItsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		first := true
		r := b.new(eventflow.NewFlow("f", func(ctx context.Context, in eventflow.Batch[string]) (string, error) {
			if first {
				first = false
				b.mem.Inject(broker.Fault{Kind: broker.LoseLock, Topics: []string{"q"}, Match: func(ev *eventflow.Event) bool { return ev.ID == in[0].Event.ID }})
				<-ctx.Done()
			}
			return strings.Join(in.Values(), " "), nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "2", "3")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		var got []string
		for _, ev := range drain(t, out) {
			got = append(got, string(ev.Data))
		}
		require.ElementsMatch(t, []string{"1 2 3", "1"}, got)
		require.EqualValues(t, 3, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

// A flow that skips an item is content with it, whatever became of its neighbour's lock meanwhile.
func TestASkippedItemOfABatchIsNotRunAgainThoughItsNeighboursLockIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		runs := map[string]int{}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, in eventflow.Batch[string]) error {
			var errs eventflow.BatchError
			for i, v := range in.Values() {
				if runs[v]++; v == "3" {
					errs.Add(i, eventflow.Skip("not today"))
				}
			}
			if len(in) == 3 {
				b.mem.Inject(broker.Fault{Kind: broker.LoseLock, Topics: []string{"q"}, Match: func(ev *eventflow.Event) bool { return ev.ID == "1" }})
				<-ctx.Done()
			}
			return errs.Err()
		}), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "1", "2", "3")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, map[string]int{"1": 2, "2": 1, "3": 1}, runs)
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.Skipped])
	})
}

func TestAPanicOfABatchIsIsolatedToo(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(){"panic": func() { panic("x") }, "goexit": runtimeGoexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				r := b.new(batches(rec, func(batch eventflow.Batch[string]) error {
					for _, it := range batch {
						if it.Value == "3" {
							die()
						}
					}
					return nil
				}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(2))
				b.publish("q", "1", "2", "3", "4")
				stop := b.listen(r)
				time.Sleep(time.Hour)
				require.NoError(t, stop())
				dead := b.mem.DeadLetters("q")
				require.Len(t, dead, 1)
				require.Equal(t, "3", dead[0].Event.ID)
			})
		})
	}
}

// An event has the attempts of its own, not those of the neighbour that it shared a batch with.
func TestABatchDoesNotLendItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		tries := map[string]int{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, items eventflow.Batch[string]) error {
			var bad eventflow.BatchError
			for i, it := range items {
				tries[it.Value]++
				if it.Value == "poison" || tries[it.Value] <= 2 { // all others need three attempts
					bad.Add(i, errBoom)
				}
			}
			return bad.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(5), runner.BatchOf(10, 100*time.Millisecond),
			runner.Backoff(func(int) time.Duration { return time.Second }))
		b.publish("q", "poison")
		stop := b.listen(r)
		time.Sleep(3350 * time.Millisecond) // the neighbour shares the batch of the fourth attempt of poison
		b.publish("q", "neighbour")
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Len(t, b.mem.DeadLetters("q"), 1, "poison, and nothing else")
		require.Equal(t, 3, tries["neighbour"])
	})
}

// The flow said which item it gave up; the others are done, although the lock of that one went.
func TestItemsThatAreDoneOutliveTheLockOfTheirNeighbour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var runs []string
		first := true
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, in eventflow.Batch[string]) error {
			runs = append(runs, strings.Join(in.Values(), " "))
			if !first {
				return nil
			}
			first = false
			b.mem.Inject(broker.Fault{Kind: broker.LoseLock, Topics: []string{"q"}, Match: func(ev *eventflow.Event) bool { return ev.ID == in[1].Event.ID }})
			<-ctx.Done()
			var failed eventflow.BatchError
			failed.Add(1, ctx.Err())
			return failed.Err()
		}), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "1", "2", "3")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"1 2 3", "2"}, runs)
		require.EqualValues(t, 3, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}
