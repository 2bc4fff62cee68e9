package eventflow_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// desk is a settler that writes down what it is told.
type desk struct {
	mu        sync.Mutex
	settled   []settling
	attempted int
	dead      []eventflow.Failure
	deadErr   error
	onDead    func(*eventflow.Delivery)
}

type settling struct {
	tokens []uint64
	s      eventflow.Settlement
}

func (k *desk) Settle(ds []*eventflow.Delivery, s eventflow.Settlement) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := settling{s: s}
	for _, d := range ds {
		one.tokens = append(one.tokens, d.Token())
	}
	k.settled = append(k.settled, one)
}

func (k *desk) Attempted(ds []*eventflow.Delivery) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempted += len(ds)
}

func (k *desk) DeadLetter(_ context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.onDead != nil {
		k.onDead(d)
	}
	if k.deadErr == nil {
		k.dead = append(k.dead, f)
	}
	return k.deadErr
}

// handed makes n deliveries of the desk with the tokens 1 to n.
func (k *desk) handed(n int) (ds []*eventflow.Delivery) {
	slab := make([]eventflow.Delivery, n)
	for i := range slab {
		slab[i].Bind(k, uint64(i+1))
		ds = append(ds, &slab[i])
	}
	return ds
}

func (k *desk) one() *eventflow.Delivery { return k.handed(1)[0] }

var ack = eventflow.Settlement{Verb: eventflow.Ack}

func TestEachSettlementReachesItsBroker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settle func(*eventflow.Delivery)
		want   eventflow.Settlement
	}{
		{func(d *eventflow.Delivery) { d.Ack() }, eventflow.Settlement{Verb: eventflow.Ack}},
		{func(d *eventflow.Delivery) { d.Nack(time.Second) }, eventflow.Settlement{Verb: eventflow.Nack, After: time.Second}},
		{func(d *eventflow.Delivery) { d.Release(time.Minute) }, eventflow.Settlement{Verb: eventflow.Release, After: time.Minute}},
		{func(d *eventflow.Delivery) { d.Settle(eventflow.Settlement{Verb: eventflow.Abandon, Note: 9}) }, eventflow.Settlement{Verb: eventflow.Abandon, Note: 9}},
	} {
		k := &desk{}
		d := k.one()
		require.True(t, d.Bound())
		require.True(t, d.Open())
		c.settle(d)
		require.False(t, d.Open())
		require.False(t, d.Lost())
		require.Equal(t, []settling{{[]uint64{1}, c.want}}, k.settled)
	}
}

func TestTheFirstSettlementWins(t *testing.T) {
	t.Parallel()
	k := &desk{}
	d := k.one()
	d.Nack(time.Second)
	d.Ack()
	d.Release(0)
	eventflow.SettleAll([]*eventflow.Delivery{d}, ack)
	d.Attempted()
	require.NoError(t, d.DeadLetter(t.Context(), eventflow.Failure{}))
	require.False(t, d.Lose(), "the settlement came first")
	require.False(t, d.Lost())
	require.Equal(t, []settling{{[]uint64{1}, eventflow.Settlement{Verb: eventflow.Nack, After: time.Second}}}, k.settled)
	require.Zero(t, k.attempted)
	require.Empty(t, k.dead)
}

func TestALostDeliveryIsFenced(t *testing.T) {
	t.Parallel()
	k := &desk{}
	d := k.one()
	require.True(t, d.Lose())
	require.False(t, d.Lose(), "it is lost once")
	require.True(t, d.Lost())
	require.False(t, d.Open())
	d.Ack()
	d.Attempted()
	eventflow.SettleAll([]*eventflow.Delivery{d}, ack)
	require.ErrorIs(t, d.DeadLetter(t.Context(), eventflow.Failure{}), eventflow.ErrLockLost)
	require.Equal(t, &desk{}, k, "nobody was told")
}

func TestOneOfManySettlementsWins(t *testing.T) {
	t.Parallel()
	mark := func(v eventflow.Verb, note uint16) func(*eventflow.Delivery) bool {
		return func(d *eventflow.Delivery) bool { d.Settle(eventflow.Settlement{Verb: v, Note: note}); return false }
	}
	all := func(d *eventflow.Delivery) bool {
		eventflow.SettleAll([]*eventflow.Delivery{d}, eventflow.Settlement{Verb: eventflow.Release, Note: 3})
		return false
	}
	look := func(d *eventflow.Delivery) bool { d.Attempted(); return false }
	for _, rivals := range [][]func(*eventflow.Delivery) bool{
		{mark(eventflow.Ack, 1), mark(eventflow.Nack, 2)},
		{mark(eventflow.Ack, 1), (*eventflow.Delivery).Lose},
		{all, mark(eventflow.Nack, 2)},
		{(*eventflow.Delivery).Lose, (*eventflow.Delivery).Lose},
		{look, all, (*eventflow.Delivery).Lose},
	} {
		const n = 5000
		k := &desk{}
		ds := k.handed(n)
		here, lost := make([]atomic.Int32, n), make([]atomic.Int32, n)
		var wg sync.WaitGroup
		for _, settle := range rivals {
			wg.Go(func() {
				for i, d := range ds { // each delivery is settled when all rivals have come to it
					here[i].Add(1)
					for spins := 0; int(here[i].Load()) < len(rivals); spins++ {
						if spins > 100 {
							runtime.Gosched()
						}
					}
					if settle(d) {
						lost[i].Add(1)
					}
				}
			})
		}
		wg.Wait()

		told := make([]int, n)
		notes := make([]uint16, n)
		for _, s := range k.settled {
			for _, token := range s.tokens {
				told[token-1]++
				notes[token-1] = s.s.Note
			}
		}
		for i, d := range ds {
			if d.Open() || told[i]+int(lost[i].Load()) != 1 || d.Lost() != (lost[i].Load() == 1) || d.Note() != notes[i] {
				t.Fatalf("delivery %d: open %v, lost %v %d times, its broker was told %d times, note %d for %d", i, d.Open(), d.Lost(), lost[i].Load(), told[i], d.Note(), notes[i])
			}
		}
	}
}

func TestANoteIsWholeAndZeroBefore(t *testing.T) {
	t.Parallel()
	k := &desk{}
	for _, note := range []uint16{0, 1, 0x8000, 0xffff} {
		d := k.one()
		require.Zero(t, d.Note())
		d.Settle(eventflow.Settlement{Verb: eventflow.Ack, Note: note})
		d.Settle(eventflow.Settlement{Verb: eventflow.Ack, Note: 7})
		require.Equal(t, note, d.Note())
		require.False(t, d.Lost())
	}
	d := k.one()
	d.Lose()
	require.Zero(t, d.Note())
}

func TestAttemptedLeavesTheDeliveryOpen(t *testing.T) {
	t.Parallel()
	k := &desk{}
	d := k.one()
	d.Attempted()
	d.Attempted()
	require.True(t, d.Open())
	require.Equal(t, 2, k.attempted)
	d.Ack()
	require.Len(t, k.settled, 1)
}

func TestADeadLetterIsWrittenThenAcknowledged(t *testing.T) {
	t.Parallel()
	k := &desk{}
	d := k.one()
	k.onDead = func(d *eventflow.Delivery) {
		require.True(t, d.Open(), "it is acknowledged only when the dead letter is safe")
	}
	failure := eventflow.Failure{Reason: "permanent", Err: errBoom, Flow: "f", Version: "v", Binding: "b", Attempts: 3, Note: 5}
	require.NoError(t, d.DeadLetter(t.Context(), failure))
	require.Equal(t, []eventflow.Failure{failure}, k.dead)
	require.Equal(t, []settling{{[]uint64{1}, eventflow.Settlement{Verb: eventflow.Ack, Note: 5}}}, k.settled)
	require.EqualValues(t, 5, d.Note())
}

func TestADeadLetterThatFailsLeavesTheDeliveryOpen(t *testing.T) {
	t.Parallel()
	k := &desk{deadErr: errBoom}
	d := k.one()
	require.ErrorIs(t, d.DeadLetter(t.Context(), eventflow.Failure{}), errBoom)
	require.True(t, d.Open())
	require.Empty(t, k.settled)
	k.deadErr = nil
	require.NoError(t, d.DeadLetter(t.Context(), eventflow.Failure{}))
	require.False(t, d.Open())
}

func TestALockLostWhileADeadLetterIsWrittenIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	k := &desk{}
	d := k.one()
	k.onDead = func(d *eventflow.Delivery) { d.Lose() }
	require.NoError(t, d.DeadLetter(t.Context(), eventflow.Failure{}), "the dead letter is safe")
	require.True(t, d.Lost())
	require.Empty(t, k.settled)
}

// An EventClock of the user's own binds nothing.
func TestADeliveryThatWasNeverBoundCanBeSettled(t *testing.T) {
	t.Parallel()
	d := &eventflow.Delivery{}
	require.False(t, d.Bound())
	require.True(t, d.Open())
	d.Attempted()
	require.ErrorIs(t, d.DeadLetter(t.Context(), eventflow.Failure{}), eventflow.ErrNoDeadLetters)
	require.True(t, d.Open(), "a dead letter that was not written settles nothing")
	d.Settle(eventflow.Settlement{Verb: eventflow.Nack, Note: 3})
	require.False(t, d.Open())
	require.EqualValues(t, 3, d.Note())
	require.NoError(t, d.DeadLetter(t.Context(), eventflow.Failure{}))
	require.False(t, d.Lose())
}

func TestSettleAllCallsEachBrokerOnceForItsNeighbours(t *testing.T) {
	t.Parallel()
	a, b := &desk{}, &desk{}
	as, bs, free := a.handed(6), b.handed(3), []*eventflow.Delivery{{}, {}}
	ds := []*eventflow.Delivery{as[0], as[1], bs[0], free[0], free[1], as[2], as[3], as[4], bs[1], bs[2], as[5]}
	given := append([]*eventflow.Delivery(nil), ds...)
	want := eventflow.Settlement{Verb: eventflow.Release, After: time.Second, Note: 4}

	eventflow.SettleAll(ds, want)
	require.Equal(t, []settling{{[]uint64{1, 2}, want}, {[]uint64{3, 4, 5}, want}, {[]uint64{6}, want}}, a.settled)
	require.Equal(t, []settling{{[]uint64{1}, want}, {[]uint64{2, 3}, want}}, b.settled)
	require.Equal(t, given, ds, "the slice is not changed")
	for _, d := range ds {
		require.False(t, d.Open())
		require.EqualValues(t, 4, d.Note())
	}
	eventflow.SettleAll(ds, want)
	require.Len(t, a.settled, 3, "a second time tells nobody")
	eventflow.SettleAll(nil, want)
}

func TestSettleAllPassesOverWhatIsSettledOrLost(t *testing.T) {
	t.Parallel()
	k := &desk{}
	ds := k.handed(7)
	for _, i := range []int{0, 3, 6} {
		ds[i].Lose()
	}
	ds[4].Nack(0)
	k.settled = nil
	eventflow.SettleAll(append(ds, ds[1]), ack) // one of them twice
	require.Equal(t, []settling{{[]uint64{2, 3}, ack}, {[]uint64{6}, ack}}, k.settled)
	require.True(t, ds[0].Lost())
}

// It counts allocations, so it cannot run beside other tests.
func TestSettlingAllocatesNothing(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun forbids it
	slab := make([]eventflow.Delivery, 2002)
	var deaf deaf
	var ds []*eventflow.Delivery
	for i := range slab {
		slab[i].Bind(&deaf, 0)
		ds = append(ds, &slab[i])
	}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		ds[0].Attempted()
		ds[0].Ack()
		ds = ds[1:]
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		eventflow.SettleAll(ds[:8], ack)
		ds = ds[8:]
	}))
	require.Positive(t, deaf.n)
}

type deaf struct{ n int }

func (s *deaf) Settle(ds []*eventflow.Delivery, _ eventflow.Settlement) { s.n += len(ds) }
func (s *deaf) Attempted([]*eventflow.Delivery)                         {}
func (s *deaf) DeadLetter(context.Context, *eventflow.Delivery, eventflow.Failure) error {
	return nil
}

func TestVerbsHaveNames(t *testing.T) {
	t.Parallel()
	for verb, want := range map[eventflow.Verb]string{
		eventflow.Ack: "ack", eventflow.Nack: "nack", eventflow.Release: "release", eventflow.Abandon: "abandon", 0: "no verb", 99: "no verb",
	} {
		require.Equal(t, want, verb.String())
	}
}
