package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/eventflow-go/eventflow"
)

const fewEvents = 4

// receive asks one source for events for as long as the runner listens. ctx ends when it stops.
func (r *FlowRunner) receive(ctx context.Context, s *source) {
	err := r.receiveAll(ctx, s)
	r.mu.Lock()
	defer r.unlock()
	if s.cutNext != nil {
		s.cutNext()
	}
	r.receivers--
	if err != nil {
		r.fail(fmt.Errorf("runner: trigger %q of flow %q: %w", s.name, r.flow.Name(), err))
	}
	r.settleDown()
}

// fail makes Listen stop and return err. The first error wins. The caller holds FlowRunner.mu.
func (r *FlowRunner) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

func (r *FlowRunner) receiveAll(ctx context.Context, s *source) error {
	faults := 0
	for {
		want, next, ok := r.room(ctx, s)
		if !ok {
			return nil
		}
		ds, err := s.clock.Next(next, want)
		var back []*task
		s.find(ds)
		r.mu.Lock()
		paused, stopping := s.paused, r.stopping
		switch {
		case len(ds) == 0:
		case stopping, paused && ds[0].Bound():
			r.unlock()
			r.handOver(s, ds, stopping)
			r.mu.Lock()
		default:
			back = r.push(s, ds)
		}
		woke := r.woken != nil
		r.unlock()
		if len(back) > 0 {
			r.giveBack(&chunk{io: r.io, stop: r.stop}, back)
		}
		if woke && len(ds) <= fewEvents {
			runtime.Gosched() // the worker first: under little load asking for more can wait
		}
		switch {
		case err == nil:
			if faults > 0 {
				faults = 0
				r.faults.clear(r.logger().With("trigger", s.name), s)
			}
			continue
		case errors.Is(err, eventflow.ErrEnd):
			return nil
		case ctx.Err() != nil:
			return nil //nolint:nilerr // cancellation is not failure
		case next.Err() != nil: // a pause cut it
			continue
		case errors.Is(err, eventflow.ErrFatal), errors.Is(err, eventflow.ErrClosed):
			return err
		}
		faults++
		r.faults.say(r.logger().With("trigger", s.name), s, "an event clock fails; it is asked again", err)
		t := time.NewTimer(fullJitter(200*time.Millisecond, longestPause, faults))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// room waits until the source may be asked for more, and gives for how much. It waits for a quarter of the source's
// share: asking for one event at a time would make batches of one.
func (r *FlowRunner) room(ctx context.Context, s *source) (eventflow.Want, context.Context, bool) {
	r.mu.Lock()
	defer r.unlock()
	for {
		if r.stopping || ctx.Err() != nil {
			return eventflow.Want{}, nil, false
		}
		free := s.share - s.inFlight
		bytes := r.c.maxHeldBytes/len(r.c.sources) - s.held
		want := eventflow.Want{Events: free, PerLane: r.c.maxPerLane, Bytes: max(bytes, 1)}
		wait, probe := s.probing(&want)
		if !s.paused && free >= max(1, s.share/4) && (bytes > 0 || s.inFlight == 0) && probe && wait <= 0 {
			if s.next == nil || s.next.Err() != nil { // the first, or a pause cut it
				s.next, s.cutNext = context.WithCancel(ctx) //nolint:fatcontext // each is a child of ctx, not of the one before
			}
			s.asked = s.backs
			return want, s.next, true
		}
		s.waiting = true
		r.unlock()
		r.awaitRoom(ctx, s, wait)
		r.mu.Lock()
		s.waiting = false
	}
}

// awaitRoom waits for a signal, at most for the time given when that is above zero.
func (r *FlowRunner) awaitRoom(ctx context.Context, s *source, most time.Duration) {
	var due <-chan time.Time
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-s.room:
	case <-due:
	case <-ctx.Done():
	}
}

// signalRoom wakes the receivers that wait for room. The caller holds FlowRunner.mu.
func (r *FlowRunner) signalRoom() {
	for _, s := range r.c.sources {
		if s.waiting && s.share-s.inFlight >= max(1, s.share/4) {
			s.signal()
		}
	}
}

func (s *source) signal() {
	if s.room == nil {
		return
	}
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// handOver gives back at once what arrived while the runner stopped or the trigger was paused. It is counted like
// everything that was received.
func (r *FlowRunner) handOver(s *source, ds []*eventflow.Delivery, stopping bool) {
	reason := reasonPaused
	if stopping {
		reason = reasonShutdown
	}
	r.mu.Lock()
	ts := make([]*task, 0, len(ds))
	for _, d := range ds {
		r.tally.received++
		r.tally.inFlight++
		s.inFlight++
		s.held += len(d.Event.Data)
		t := r.newTask()
		t.d, t.src = d, s
		t.key = r.keyOf(s, d)
		t.verdict.reason = reason
		ts = append(ts, t)
	}
	r.unlock()
	r.giveBack(&chunk{io: r.io, stop: r.stop}, ts)
}

// settled is Listening.Settled of a source: its broker confirmed settlements, or refused them.
func (r *FlowRunner) settled(s *source, ds []*eventflow.Delivery, err error) {
	r.mu.Lock()
	defer r.unlock()
	for _, d := range ds {
		note := d.Note()
		switch note {
		case abandonedNote:
			continue
		case 0: // somebody settled it past the runner
			note = uint16(eventflow.Succeeded)
		}
		r.confirmed(s, d, note)
		if err != nil {
			r.tally.unconfirmed++
			r.decide(Decision{Key: r.keyOf(s, d), Reason: reasonUnsure, Err: err})
		}
	}
	r.signalRoom()
}

// lost is Listening.Lost of a source: locks are gone.
func (r *FlowRunner) lost(ds []*eventflow.Delivery, err error) {
	gone := make(map[*eventflow.Delivery]bool, len(ds))
	for _, d := range ds {
		gone[d] = true
	}
	r.mu.Lock()
	defer r.unlock()
	for _, t := range r.tasks {
		if t.d != nil && gone[t.d] {
			if t.rc != nil {
				t.rc.cancel(causeOfLoss(err))
			}
		}
	}
}
