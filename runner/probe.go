package runner

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// probe pauses a source when many of its events in a row cannot be decoded: it is probably the flow that is wrong, and
// going on would drain the backlog into the dead letters. While it is on, what cannot be decoded is handed back, and one
// event at a time is asked for.
type probe struct {
	failed atomic.Int64 // in a row
	on     atomic.Bool
	n      int       // events tried in vain; guarded by FlowRunner.mu
	next   time.Time // when the next may be tried; guarded by FlowRunner.mu
}

const reasonProbe = "decode failures"

// undecodable is the verdict of an event that does not fit the flow.
func (r *FlowRunner) undecodable(t *task, err error) verdict {
	if s := t.src; s != nil && r.c.decodeMost > 0 {
		if n := s.probe.failed.Add(1); n >= int64(r.c.decodeMost) && !s.probe.on.Swap(true) {
			r.logger().Error("a trigger is paused: its events do not fit the flow; one at a time is tried", "flow", r.flow.Name(), "trigger", s.name, "in_a_row", n, "error", errorClass(err))
			r.handBackSource(s)
		}
		if s.probe.on.Load() {
			v := handBack(reasonProbe, r.failedProbe(s))
			v.err = err
			return v
		}
	}
	return r.giveUpUnrun(t, reasonDecode, err)
}

// failedProbe notes that an event was tried in vain, and gives when the next may be: after 1 s doubling to 1 min. The
// event itself stays away for twice as long, so that the next one tried is another.
func (r *FlowRunner) failedProbe(s *source) (away time.Duration) {
	r.mu.Lock()
	defer r.unlock()
	if left := time.Until(s.probe.next); left > 0 { // of the chunk, or the hand-over, that was tried already
		return 2 * left
	}
	wait := time.Minute
	if s.probe.n < 6 {
		wait = time.Second << s.probe.n
	}
	s.probe.n++
	s.probe.next = time.Now().Add(wait)
	return 2 * wait
}

// decoded notes that an event of the source fits.
func (r *FlowRunner) decoded(s *source) {
	if s.probe.failed.Load() == 0 {
		return
	}
	s.probe.failed.Store(0)
	if !s.probe.on.Load() {
		return
	}
	r.mu.Lock()
	tried := s.probe.n
	s.probe.n, s.probe.next = 0, time.Time{}
	s.probe.on.Store(false)
	s.signal()
	r.unlock()
	r.logger().Info(fmt.Sprintf("trigger %q goes on: an event fits the flow again", s.name), "flow", r.flow.Name(), "tried", tried)
}

// probing narrows what a paused source may be asked for, and gives how long to wait before. The caller holds
// FlowRunner.mu.
func (s *source) probing(want *eventflow.Want) (wait time.Duration, ok bool) {
	if !s.probe.on.Load() {
		return 0, true
	}
	want.Events, want.PerLane = 1, 1
	return time.Until(s.probe.next), s.inFlight == 0
}

// handBackSource gives back everything of a source that waits.
func (r *FlowRunner) handBackSource(s *source) {
	if !s.confirms { // nobody would deliver it again
		return
	}
	r.mu.Lock()
	if s.cutNext != nil { // it was asked for many
		s.cutNext()
	}
	out := r.takeBack(s, reasonProbe)
	r.unlock()
	r.giveBack(&chunk{io: r.io, stop: r.stop}, out)
}

// takeBack takes what waits in the queues of a source out of them. The caller holds FlowRunner.mu.
func (r *FlowRunner) takeBack(s *source, reason string) (out []*task) {
	for s.ready.len() > 0 {
		r.readyCount--
		e := s.ready.popFront()
		if e.l != nil {
			e.l.queued = false
			continue
		}
		e.t.verdict = verdict{turn: turnUnrun, reason: reason}
		out = append(out, e.t)
	}
	s.backs++
	for _, l := range s.lanes {
		if l.head != nil {
			out = r.drain(l, reason, out)
			l.back = s.backs // what the broker handed over before it has these again goes back too: see push
		}
	}
	if s.loose != nil {
		out = r.drain(s.loose, reason, out)
	}
	return out
}
