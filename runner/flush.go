package runner

import (
	"time"

	"github.com/eventflow-go/eventflow"
)

// flush brings tasks that ran, or need not, the rest of the way: publish → finish → settle, each at once for all.
func (r *FlowRunner) flush(c *chunk, ts []*task) {
	for _, t := range ts {
		r.restore(t)
	}
	if c.src != nil && c.src.tx {
		r.transact(c, ts)
		r.fence(ts)
	} else {
		r.publish(c, ts)
		if ts = r.setAside(c, ts); c.pending != nil {
			c.pending = ts
		}
		r.bury(c, ts)
		r.fence(ts)
		r.end(c, ts)
	}
	r.keepUnbound(c, ts)
	r.tellAll(ts)
	r.settle(c, ts)
	if !c.direct {
		r.retire(c, ts)
	}
}

// restore gives a task whose turn begins behind the run the verdict that this turn completes.
func (r *FlowRunner) restore(t *task) {
	switch t.stage {
	case stageRun:
		return
	case stagePublish:
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Succeeded, verb: eventflow.Ack, started: t.verdict.started}
	case stageBury:
		if t.verdict.turn != turnBury {
			t.verdict = verdict{turn: turnBury, reason: t.ended.reason, err: t.ended.err}
		}
	case stageFinish:
		t.verdict = t.ended
	}
}

// fence turns away what lost its lock or its claim on the way.
func (r *FlowRunner) fence(ts []*task) {
	for _, t := range ts {
		if t.verdict.turn == turnEnd && t.verdict.outcome != eventflow.HandedBack && !t.buried && !t.open() {
			t.verdict = lostAfter(&t.verdict)
		}
	}
}

// keepUnbound makes deliveries wait here that would be handed back although no broker stands behind them: nobody would
// deliver them again.
func (r *FlowRunner) keepUnbound(c *chunk, ts []*task) {
	if c.direct || r.halted.Load() {
		return
	}
	for _, t := range ts {
		v := &t.verdict
		if v.turn != turnEnd || v.outcome != eventflow.HandedBack || t.d == nil || t.d.Bound() {
			continue
		}
		t.stage, t.out, t.pubs = stageRun, nil, nil
		t.fenced.Store(false)
		*v = verdict{turn: turnWait, reason: v.reason, err: v.err, after: max(v.after, 100*time.Millisecond)}
	}
}

// settle marks the ends, one call for neighbours that end alike.
func (r *FlowRunner) settle(c *chunk, ts []*task) {
	var last eventflow.Settlement
	c.acks = c.acks[:0]
	done := func() {
		if len(c.acks) > 0 {
			eventflow.SettleAll(c.acks, last)
		}
		c.acks = c.acks[:0]
	}
	for _, t := range ts {
		v := &t.verdict
		switch {
		case t.d == nil:
			continue
		case v.turn == turnEnd:
		case v.counted && !c.direct: // of Handle's the hand-back tells
			t.attempts = t.tried
			t.d.Attempted()
			continue
		default:
			continue
		}
		s := eventflow.Settlement{Verb: v.verb, Note: r.note(v.outcome, v.reason), After: v.after}
		if s != last {
			done()
			last = s
		}
		c.acks = append(c.acks, t.d)
	}
	done()
	clear(c.acks[:cap(c.acks)])
}

// note packs an outcome and its reason for the settlement's confirmation.
func (r *FlowRunner) note(o eventflow.Outcome, reason string) uint16 {
	if reason == "" {
		return uint16(o)
	}
	r.mu.Lock()
	defer r.unlock()
	return r.tally.note(o, reason)
}
