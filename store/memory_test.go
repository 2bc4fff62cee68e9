package store_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

const owner = "host-1"

func key(id string) eventflow.Key {
	return eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "topic://uploads", ID: id}
}

func claim(t testing.TB, m *store.Memory, lease time.Duration, k eventflow.Key) *store.Claim {
	t.Helper()
	cs := []store.Claim{{Key: k}}
	require.NoError(t, m.Claim(t.Context(), owner, lease, cs))
	return &cs[0]
}

func granted(t testing.TB, m *store.Memory, lease time.Duration, k eventflow.Key) *store.Claim {
	t.Helper()
	c := claim(t, m, lease, k)
	require.Equal(t, store.Granted.String(), c.Status.String(), "%v", k)
	return c
}

// finish gives Fenced.
func finish(t testing.TB, m *store.Memory, c *store.Claim, state store.State) bool {
	t.Helper()
	fs := []store.Finish{{Claim: c, State: state}}
	if state == store.Terminal {
		fs[0].Outcome = eventflow.Succeeded
	}
	require.NoError(t, m.Finish(t.Context(), owner, fs))
	return fs[0].Fenced
}

func TestMistakesInOptionsAreNamedByEveryCall(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(0), store.Window(-time.Second))
	for _, err := range []error{
		m.Err(),
		m.Claim(t.Context(), owner, time.Minute, []store.Claim{{Key: key("1")}}),
		m.Finish(t.Context(), owner, nil),
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad)
		require.ErrorContains(t, err, "store.Capacity")
		require.ErrorContains(t, err, "store.Window")
	}
	require.NoError(t, store.NewMemory(store.Capacity(1), store.Window(time.Second)).Err())
}

func TestMistakesInCallsChangeNothing(t *testing.T) {
	t.Parallel()
	m := store.NewMemory()
	c := granted(t, m, time.Minute, key("1"))
	ctx := t.Context()
	good := store.Finish{Claim: c, State: store.Terminal, Outcome: eventflow.Succeeded}
	for name, err := range map[string]error{
		"no owner":   m.Claim(ctx, "", time.Minute, []store.Claim{{Key: key("2")}}),
		"no lease":   m.Claim(ctx, owner, 0, []store.Claim{{Key: key("2")}}),
		"renew":      m.Renew(ctx, owner, -1, []*store.Claim{c}),
		"no claim":   m.Finish(ctx, owner, []store.Finish{good, {State: store.Released}}),
		"no state":   m.Finish(ctx, owner, []store.Finish{good, {Claim: c}}),
		"no outcome": m.Finish(ctx, owner, []store.Finish{good, {Claim: c, State: store.Terminal}}),
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad, name)
	}
	require.Equal(t, store.Held, claim(t, m, time.Minute, key("1")).Status)
	require.Equal(t, 1, m.Len())
}

func TestCapacityIsNeverExceeded(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(100))
	for i := range 1000 {
		require.False(t, finish(t, m, granted(t, m, time.Minute, key(strconv.Itoa(i))), store.Terminal))
		require.LessOrEqual(t, m.Len(), 100)
	}
	for i := 900; i < 1000; i++ {
		require.Equal(t, store.Done, claim(t, m, time.Minute, key(strconv.Itoa(i))).Status, i)
	}
	granted(t, m, time.Minute, key("899"))
}

func TestFullErrorSaysHowFull(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(2))
	granted(t, m, time.Minute, key("1"))
	granted(t, m, time.Minute, key("2"))
	err := m.Claim(t.Context(), owner, time.Minute, []store.Claim{{Key: key("1")}, {Key: key("3")}, {Key: key("4")}})
	require.ErrorIs(t, err, store.ErrFull)
	var full *store.FullError
	require.ErrorAs(t, err, &full)
	require.Equal(t, store.FullError{Capacity: 2, Asked: 2}, *full)

	// What it holds can still be asked for.
	require.Equal(t, store.Held, claim(t, m, time.Minute, key("1")).Status)
}

func TestFullStoreClaimsEvenWhatItForgetsInTheSameCall(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(3))
	for _, id := range []string{"1", "2", "3"} {
		finish(t, m, granted(t, m, time.Minute, key(id)), store.Terminal)
	}
	cs := []store.Claim{{Key: key("4")}, {Key: key("1")}, {Key: key("3")}} // 4 takes the place of 1
	require.NoError(t, m.Claim(t.Context(), owner, time.Minute, cs))
	require.Equal(t, store.Granted, cs[0].Status)
	require.Equal(t, store.Granted, cs[1].Status)
	require.Equal(t, store.Done, cs[2].Status)
	require.Equal(t, 3, m.Len())
}

func TestReleasedKeyTakesNoRoom(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(1))
	for i := range 100 {
		require.False(t, finish(t, m, granted(t, m, time.Minute, key(strconv.Itoa(i))), store.Released))
		require.Zero(t, m.Len())
	}
}

func TestDoneIsForgottenAfterTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory(store.Window(time.Hour))
		for i := range 100 {
			finish(t, m, granted(t, m, time.Minute, key(strconv.Itoa(i))), store.Terminal)
		}
		time.Sleep(time.Hour - 1)
		require.Equal(t, store.Done, claim(t, m, time.Minute, key("7")).Status)
		time.Sleep(time.Nanosecond)
		require.Zero(t, granted(t, m, time.Minute, key("7")).Attempts)

		// Others that are past it go in passing, a few with each claim, not all at once.
		was := m.Len()
		for i := range 60 {
			claim(t, m, time.Minute, key("new"+strconv.Itoa(i%2)))
		}
		require.Less(t, m.Len(), was)
		require.Equal(t, 3, m.Len())
	})
}

func TestAttemptsAreForgottenAfterTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory(store.Window(time.Hour))
		finish(t, m, granted(t, m, time.Minute, key("failed")), store.Failed)
		granted(t, m, time.Minute, key("died"))
		time.Sleep(time.Hour)
		require.Equal(t, 1, granted(t, m, time.Minute, key("failed")).Attempts)
		require.Equal(t, 1, granted(t, m, time.Minute, key("died")).Attempts)
		time.Sleep(time.Hour + time.Minute)
		require.Zero(t, granted(t, m, time.Minute, key("died")).Attempts)
	})
}

func TestFullStoreForgetsWhatNobodyTouchedForTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory(store.Capacity(3), store.Window(time.Hour))
		renewed := granted(t, m, time.Minute, key("renewed"))
		granted(t, m, time.Minute, key("died"))
		finish(t, m, granted(t, m, time.Minute, key("failed")), store.Failed)
		next := []store.Claim{{Key: key("next")}}
		for range 60 { // minutes
			require.ErrorIs(t, m.Claim(t.Context(), owner, time.Minute, next), store.ErrFull)
			time.Sleep(time.Minute)
			require.NoError(t, m.Renew(t.Context(), owner, time.Minute, []*store.Claim{renewed}))
			require.Equal(t, store.Granted, renewed.Status)
		}
		require.ErrorIs(t, m.Claim(t.Context(), owner, time.Minute, next), store.ErrFull)
		time.Sleep(time.Minute)
		require.NoError(t, m.Claim(t.Context(), owner, time.Minute, next))
		require.Equal(t, store.Held, claim(t, m, time.Minute, key("next")).Status)
		require.False(t, finish(t, m, renewed, store.Terminal))
	})
}

// To make room, a call may forget keys that it asks for itself: those need room again.
func TestFullStoreCountsWhatItForgetsOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory(store.Capacity(3), store.Window(time.Hour))
		for _, id := range []string{"1", "2", "3"} {
			granted(t, m, time.Minute, key(id))
		}
		time.Sleep(2 * time.Hour)
		cs := []store.Claim{{Key: key("1")}, {Key: key("4")}, {Key: key("5")}, {Key: key("6")}}
		var full *store.FullError
		require.ErrorAs(t, m.Claim(t.Context(), owner, time.Minute, cs), &full)
		require.Equal(t, store.FullError{Capacity: 3, Asked: 4}, *full)
		require.NoError(t, m.Claim(t.Context(), owner, time.Minute, cs[:3]))
		require.Equal(t, 3, m.Len())
	})
}

func TestClaimOfAForgottenKeyIsFenced(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Capacity(1))
	was := granted(t, m, time.Minute, key("1"))
	early := *was
	finish(t, m, was, store.Terminal)
	other := granted(t, m, time.Minute, key("2")) // in the record of 1
	require.True(t, finish(t, m, &early, store.Terminal))
	require.Equal(t, store.Held, claim(t, m, time.Minute, key("2")).Status)
	finish(t, m, other, store.Terminal)

	again := granted(t, m, time.Minute, key("1"))
	require.Greater(t, again.Fence, early.Fence)
	require.True(t, finish(t, m, &early, store.Released))
	require.NoError(t, m.Renew(t.Context(), owner, time.Minute, []*store.Claim{&early}))
	require.NotEqual(t, store.Granted, early.Status)
	require.False(t, finish(t, m, again, store.Terminal))
}

func TestClaimMadeByHandFindsItsKey(t *testing.T) {
	t.Parallel()
	m := store.NewMemory()
	granted(t, m, time.Minute, key("other"))
	c := granted(t, m, time.Minute, key("1"))
	byHand := &store.Claim{Key: key("1"), Fence: c.Fence}
	require.NoError(t, m.Renew(t.Context(), owner, time.Hour, []*store.Claim{byHand}))
	require.Equal(t, store.Granted, byHand.Status)
	require.False(t, finish(t, m, byHand, store.Terminal))
	require.Equal(t, store.Done, claim(t, m, time.Minute, key("1")).Status)
}

func TestSecondFinishIsAnsweredAsTheFirst(t *testing.T) {
	t.Parallel()
	m := store.NewMemory()
	for state, id := range map[store.State]string{store.Terminal: "terminal", store.Failed: "failed"} {
		c := granted(t, m, time.Minute, key(id))
		require.False(t, finish(t, m, c, state), id)
		require.False(t, finish(t, m, c, state), id)
		require.True(t, finish(t, m, c, store.Released), id)
	}
	require.Equal(t, 1, granted(t, m, time.Minute, key("failed")).Attempts)
}

func TestLeaseEndsAtItsInstant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		c := granted(t, m, time.Minute, key("1"))
		require.Equal(t, time.Minute, time.Until(c.Until))
		time.Sleep(time.Minute - 1)
		held := claim(t, m, time.Minute, key("1"))
		require.Equal(t, store.Held, held.Status)
		require.Equal(t, time.Duration(1), time.Until(held.Until))
		time.Sleep(time.Nanosecond)
		require.Equal(t, 1, granted(t, m, time.Minute, key("1")).Attempts)
	})
}

func TestLongestLeaseDoesNotOverflow(t *testing.T) {
	t.Parallel()
	m := store.NewMemory(store.Window(1<<63 - 1))
	c := granted(t, m, 1<<63-1, key("1"))
	require.True(t, c.Until.After(time.Now().Add(24*time.Hour)))
	require.Equal(t, store.Held, claim(t, m, time.Minute, key("1")).Status)
	finish(t, m, c, store.Terminal)
	require.Equal(t, store.Done, claim(t, m, time.Minute, key("1")).Status)
}

func TestStoreMadeOutsideABubbleWorksInside(t *testing.T) {
	t.Parallel()
	m := store.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		c := granted(t, m, time.Minute, key("1"))
		require.Equal(t, time.Minute, time.Until(c.Until.Round(0)))
		time.Sleep(time.Minute)
		granted(t, m, time.Minute, key("1"))
	})
}

func TestOrphansPastTheWindowAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory(store.Window(time.Hour))
		at := time.Now()
		cs := []store.Claim{{Key: eventflow.FireKey("report", "nightly", at), Fire: &store.Fire{Definition: "v1", Nominal: at, Overlap: "nightly"}}}
		require.NoError(t, m.Claim(t.Context(), owner, time.Minute, cs))
		time.Sleep(time.Minute)
		ks, err := m.Orphans(t.Context(), "report", 10)
		require.NoError(t, err)
		require.Equal(t, []eventflow.Key{cs[0].Key}, ks)
		time.Sleep(time.Hour)
		ks, err = m.Orphans(t.Context(), "report", 10)
		require.NoError(t, err)
		require.Empty(t, ks)
		require.Zero(t, m.Len())
	})
}

func TestEveryKeyRunsOnceUnderContention(t *testing.T) {
	t.Parallel()
	const workers, keys = 8, 500
	m := store.NewMemory(store.Capacity(keys))
	var mu sync.Mutex // guards runs
	runs := make(map[string]int)
	work := func(w int) error {
		me := fmt.Sprintf("worker-%d", w)
		for left := true; left; {
			left = false
			for first := 0; first < keys; first += 10 {
				cs := make([]store.Claim, 10)
				for i := range cs {
					cs[i].Key = key(strconv.Itoa((first + i + 7*w) % keys))
				}
				if err := m.Claim(t.Context(), me, time.Hour, cs); err != nil {
					return err
				}
				var fs []store.Finish
				for i := range cs {
					if cs[i].Status != store.Done {
						left = true
					}
					if cs[i].Status != store.Granted {
						continue
					}
					f := store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}
					if cs[i].Attempts < 2 {
						f.State = store.Failed
					} else {
						mu.Lock()
						runs[cs[i].Key.ID]++
						mu.Unlock()
					}
					fs = append(fs, f)
				}
				if err := m.Finish(t.Context(), me, fs); err != nil {
					return err
				}
				for i := range fs {
					if fs[i].Fenced {
						return errors.New("fenced, though no lease lapsed")
					}
				}
			}
		}
		return nil
	}
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { errs[w] = work(w) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Len(t, runs, keys)
	for id, n := range runs {
		require.Equal(t, 1, n, id)
	}
}

func TestFullStoreAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts the allocations of the whole process
	const capacity, chunk = 1024, 32
	m := store.NewMemory(store.Capacity(capacity))
	ids := make([]string, 4*capacity)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	cs, fs := make([]store.Claim, chunk), make([]store.Finish, chunk)
	next := 0
	ctx := t.Context()
	step := func() {
		for i := range cs {
			cs[i].Key = key(ids[next%len(ids)])
			next++
			fs[i] = store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}
		}
		if m.Claim(ctx, owner, time.Minute, cs) != nil || cs[0].Status != store.Granted || m.Finish(ctx, owner, fs) != nil {
			panic("not granted")
		}
	}
	for range len(ids) / chunk {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
	require.Equal(t, capacity, m.Len())
}
