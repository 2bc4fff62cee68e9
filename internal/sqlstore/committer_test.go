package sqlstore

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// gated is an engine that grants all, in transactions that end when they are let.
type gated struct {
	Engine

	lanes int
	began chan transaction
}

type transaction struct {
	calls int
	goOn  chan struct{}
}

func openGated(lanes int) (*Store, *gated) {
	g := &gated{lanes: lanes, began: make(chan transaction, 1)}
	return New(g, Options{}), g
}

func (g *gated) Lanes() int   { return g.lanes }
func (g *gated) Base() int64  { return 0 }
func (g *gated) Close() error { return nil }

func (g *gated) Together(_ context.Context, bs []Bulk) ([]int64, error) {
	n := len(bs[0].Columns[0].([][]byte))
	tx := transaction{n, make(chan struct{})}
	g.began <- tx
	<-tx.goOn
	return []int64{int64(n)}, nil
}

// claim claims a key that nobody else asks for.
func claim(t *testing.T, s *Store, id string) {
	t.Helper()
	cs := []store.Claim{{Key: eventflow.Key{Flow: "f", ID: id}}}
	if err := s.Claim(t.Context(), "alice", time.Minute, cs); err != nil || cs[0].Status != store.Granted {
		t.Errorf("Claim: %v, %v", cs[0].Status, err)
	}
}

// Those who were answered together come back together: the first of them has no transaction of its own.
func TestCallersThatComeBackTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			s, g := openGated(lanes)
			const callers, rounds = 100, 20
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					for round := range rounds {
						claim(t, s, strconv.Itoa(i)+"/"+strconv.Itoa(round))
					}
				})
			}
			transactions := 0
			for left := callers * rounds; left > 0; transactions++ {
				tx := <-g.began
				left -= tx.calls
				synctest.Wait() // the others wait behind it
				close(tx.goOn)
			}
			all.Wait()
			require.Less(t, transactions, 2*rounds, "%d lanes", lanes)
			require.NoError(t, s.Close())
		})
	}
}

func TestCallsWaitForATransactionOfAsMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := openGated(2)
		var all sync.WaitGroup
		all.Go(func() { claim(t, s, "1") })
		first := <-g.began
		all.Go(func() { claim(t, s, "2") })
		synctest.Wait()
		require.Empty(t, g.began)
		all.Go(func() { claim(t, s, "3") })
		synctest.Wait()
		second := <-g.began
		require.Equal(t, 2, second.calls)
		close(first.goOn)
		close(second.goOn)
		all.Wait()
		require.NoError(t, s.Close())
	})
}

// A transaction may wait for locks of a process that was stopped.
func TestTransactionThatHangsHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, g := openGated(2)
		var hung sync.WaitGroup
		hung.Go(func() { claim(t, s, "hung") })
		first := <-g.began
		start := time.Now()
		for i := range 10 {
			var other sync.WaitGroup
			other.Go(func() { claim(t, s, strconv.Itoa(i)) })
			close((<-g.began).goOn)
			other.Wait()
		}
		require.Equal(t, patience, time.Since(start), "the first of them waited")
		close(first.goOn)
		hung.Wait()
		require.NoError(t, s.Close())
	})
}
