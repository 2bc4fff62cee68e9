package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// Whatever the consumers do, nothing is lost, nothing is settled twice, lanes keep their order, bounds hold, and counts
// are exact.
func TestRandomUseKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { exercise(t, seed, 400) })
		})
	}
}

func TestRandomUseOutsideABubble(t *testing.T) {
	t.Parallel()
	exercise(t, uint64(time.Now().UnixNano()), 150)
}

const (
	exerciseGroups     = 3
	exercisePublishers = 3
	exerciseConsumers  = 4 // of each group
	exerciseCapacity   = 64
)

func exercise(t *testing.T, seed uint64, events int) {
	t.Helper()
	t.Logf("seed %d", seed)
	m := broker.NewMemory(broker.Capacity(exerciseCapacity), broker.Lease(20*time.Millisecond))
	w := &witness{t: t, events: events, groups: map[string]*groupWitness{}}
	for g := range exerciseGroups {
		name := fmt.Sprint("group", g)
		w.groups[name] = &groupWitness{lanes: map[string]*laneWitness{}, byID: map[string]*eventWitness{}}
		require.NoError(t, m.Subscriber("q", eventflow.Group(name)).Close(t.Context())) // makes the group
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var publishers, consumers sync.WaitGroup
	for p := range exercisePublishers {
		r := rand.New(rand.NewPCG(seed, uint64(p)))
		publishers.Go(func() { w.publish(ctx, m.Publisher("q"), p, r) })
	}
	for name := range w.groups {
		for c := range exerciseConsumers {
			r := rand.New(rand.NewPCG(seed, uint64(1000+100*c+int(name[5]))))
			consumers.Go(func() { w.consume(ctx, m, name, r) })
		}
	}
	publishers.Wait()
	require.NoError(t, m.WaitSettled(ctx, "q"))
	cancel()
	consumers.Wait()
	w.finish(m)
}

// A witness knows what the broker should do. It learns of a settlement before the broker does and of a hand-over after
// it, so that whatever it sees out of order was out of order.
type witness struct {
	t      *testing.T
	events int // of each publisher
	mu     sync.Mutex
	groups map[string]*groupWitness
}

type groupWitness struct {
	lanes map[string]*laneWitness
	byID  map[string]*eventWitness
	ended int
}

type laneWitness struct{ events []*eventWitness }

type eventWitness struct {
	index              int // in its lane
	holder             any
	ended              bool
	attempts, receives int
}

// publish publishes to lanes of the publisher's own, so that their order is known.
func (w *witness) publish(ctx context.Context, p eventflow.Publisher, number int, r *rand.Rand) {
	for n := 0; n < w.events; {
		var evs []eventflow.Event
		for range min(1+r.IntN(20), w.events-n) {
			ev := eventflow.Event{ID: fmt.Sprintf("%d-%d", number, n), Data: make([]byte, r.IntN(100))}
			if r.IntN(4) > 0 {
				ev.Key = fmt.Sprintf("%d-%d", number, r.IntN(5))
			}
			evs = append(evs, ev)
			n++
		}
		w.mu.Lock()
		for _, g := range w.groups {
			for _, ev := range evs {
				e := &eventWitness{}
				g.byID[ev.ID] = e
				if ev.Key != "" {
					l := g.lanes[ev.Key]
					if l == nil {
						l = &laneWitness{}
						g.lanes[ev.Key] = l
					}
					e.index = len(l.events)
					l.events = append(l.events, e)
				}
			}
		}
		w.mu.Unlock()
		if err := p.Publish(ctx, evs...); err != nil {
			w.t.Errorf("publish: %v", err)
			return
		}
		if r.IntN(5) == 0 {
			time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
		}
	}
}

func (w *witness) consume(ctx context.Context, m *broker.Memory, group string, r *rand.Rand) {
	for ctx.Err() == nil {
		s := m.Subscriber("q", eventflow.Group(group))
		w.session(ctx, s, group, r)
		w.mu.Lock()
		for _, e := range w.groups[group].byID {
			if e.holder == s {
				e.holder = nil
			}
		}
		w.mu.Unlock()
		var err error
		if r.IntN(3) == 0 {
			err = m.Crash(s)
		} else {
			err = s.Close(ctx)
		}
		if err != nil && ctx.Err() == nil {
			w.t.Errorf("close: %v", err)
		}
	}
}

// session is the life of one consumer.
func (w *witness) session(ctx context.Context, s eventflow.Subscriber, group string, r *rand.Rand) {
	perLane := r.IntN(5)
	held := map[string]int{}
	var kept []*eventflow.Delivery
	for range 1 + r.IntN(60) {
		if r.IntN(10) == 0 {
			perLane = r.IntN(5)
		}
		want := eventflow.Want{Events: 1 + r.IntN(12), PerLane: perLane, Bytes: r.IntN(400)}
		// Who holds nothing may wait for ever: a waking that is lost ends in a deadlock.
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(kept) > 0 {
			wait, cancel = context.WithTimeout(ctx, time.Duration(1+r.IntN(30))*time.Millisecond)
		}
		ds, err := s.Next(wait, want)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) || err != nil && len(ds) > 0 {
			w.t.Errorf("next: %v and %d deliveries", err, len(ds))
			return
		}
		w.received(s, group, ds, want, held)
		kept = append(kept, ds...)
		r.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		for n := r.IntN(len(kept) + 1); n > 0; n-- {
			d := kept[len(kept)-1]
			kept = kept[:len(kept)-1]
			if d.Lane != "" {
				held[d.Lane]--
			}
			w.settle(ctx, d, group, r)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (w *witness) received(s eventflow.Subscriber, group string, ds []*eventflow.Delivery, want eventflow.Want, held map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[group]
	bytes := 0
	if len(ds) > want.Events {
		w.t.Errorf("%d deliveries, %d were wanted", len(ds), want.Events)
	}
	for _, d := range ds {
		e := g.byID[d.Event.ID]
		e.receives++
		bytes += len(d.Event.Data)
		switch {
		case e.ended:
			w.t.Errorf("%s: %s was handed over after its end", group, d.Event.ID)
		case e.holder != nil:
			w.t.Errorf("%s: %s was handed over twice at a time", group, d.Event.ID)
		case d.Attempts != e.attempts || d.Receives != e.receives:
			w.t.Errorf("%s: %s has %d attempts and %d receives, want %d and %d",
				group, d.Event.ID, d.Attempts, d.Receives, e.attempts, e.receives)
		}
		e.holder = s
		if d.Lane == "" {
			continue
		}
		held[d.Lane]++
		if want.PerLane > 0 && held[d.Lane] > want.PerLane {
			w.t.Errorf("%s: %d of lane %s, the bound is %d", group, held[d.Lane], d.Lane, want.PerLane)
		}
		for _, earlier := range g.lanes[d.Lane].events[:e.index] {
			if !earlier.ended && earlier.holder != s {
				w.t.Errorf("%s: %s was handed over before number %d of lane %s", group, d.Event.ID, earlier.index, d.Lane)
			}
		}
	}
	if want.Bytes > 0 && bytes > want.Bytes && len(ds) > 1 {
		w.t.Errorf("%d bytes in %d deliveries, the bound is %d", bytes, len(ds), want.Bytes)
	}
}

func (w *witness) settle(ctx context.Context, d *eventflow.Delivery, group string, r *rand.Rand) {
	delay := time.Duration(0)
	if r.IntN(2) == 0 {
		delay = time.Duration(r.IntN(5)) * time.Millisecond
	}
	verb := r.IntN(10)
	w.mu.Lock()
	e := w.groups[group].byID[d.Event.ID]
	e.holder = nil
	switch verb {
	case 0, 1:
		e.attempts++
	case 2, 3: // Release
	case 4: // Abandon
	default:
		e.ended = true
		w.groups[group].ended++
	}
	w.mu.Unlock()
	switch verb {
	case 0:
		d.Nack(delay)
	case 1:
		d.Attempted()
		d.Release(delay)
	case 2, 3:
		d.Release(delay)
	case 4:
		d.Settle(eventflow.Settlement{Verb: eventflow.Abandon})
	case 5:
		if err := d.DeadLetter(context.WithoutCancel(ctx), eventflow.Failure{Reason: "exhausted"}); err != nil {
			w.t.Errorf("dead letter: %v", err)
		}
	default:
		d.Ack()
	}
	d.Nack(0) // a second settlement does nothing
}

func (w *witness) finish(m *broker.Memory) {
	total := exercisePublishers * w.events
	dead := map[string]int64{}
	for _, dl := range m.DeadLetters("q") {
		dead[dl.Group]++
	}
	for name, g := range w.groups {
		require.Equal(w.t, total, g.ended, name)
		st := m.Stats("q", name)
		require.Equal(w.t, int64(total), st.Published, name)
		require.Equal(w.t, int64(total), st.Acked+st.DeadLettered, name)
		require.Equal(w.t, dead[name], st.DeadLettered, name)
		require.Zero(w.t, st.Queued+st.Delayed+st.InFlight+st.Bytes+st.Consumers, name)
	}
}
