package runner

import (
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/eventflow-go/eventflow"
)

// Attributes of a dead letter. Those of an incoming event that begin like them are dropped, so that a dead letter that
// dies again tells of its last death.
const (
	attributePrefix   = "eventflow-"
	attributeReason   = attributePrefix + "reason"
	attributeFlow     = attributePrefix + "flow"
	attributeVersion  = attributePrefix + "version"
	attributeTrigger  = attributePrefix + "trigger"
	attributeAttempts = attributePrefix + "attempts"
	attributeError    = attributePrefix + "error"
	attributeText     = attributePrefix + "error-text"
)

const maxErrorText = 1024

// bury writes the dead letters of the chunk. One that cannot be written keeps its task, and with it its lane.
func (r *FlowRunner) bury(c *chunk, ts []*task) {
	for _, t := range ts {
		if t.verdict.turn != turnBury {
			continue
		}
		if !t.open() {
			t.verdict = lostAfter(&t.ended)
			continue
		}
		switch err := r.buryOne(c, t); {
		case err == nil:
			t.buried = t.d != nil && !t.d.Open() && !t.d.Lost()
			t.verdict = t.ended
			r.faults.clear(r.logger(), reasonDead)
			r.sayEnd(slog.LevelWarn, "event is dead-lettered", t)
		case errors.Is(err, eventflow.ErrLockLost):
			t.verdict = lostAfter(&t.ended)
		case errors.Is(err, eventflow.ErrNoDeadLetters) && t.d != nil && !t.d.Bound():
			t.ended.outcome = eventflow.Failed // no broker stands behind it, and nobody named another place
			t.verdict = t.ended
			r.sayEnd(slog.LevelError, "event has failed, and there is no place for its dead letter", t)
		default:
			r.faults.say(r.logger(), reasonDead, "dead letters cannot be written; their lanes stand still until they can", err)
			r.wait(t, turnBury, reasonDead, err)
		}
	}
}

func (r *FlowRunner) buryOne(c *chunk, t *task) error {
	v := &t.ended
	switch {
	case r.c.dead != nil:
		return r.publishDead(c, t)
	case t.d == nil:
		return nil // a fire leaves nothing behind but its outcome
	}
	return t.d.DeadLetter(c.io, eventflow.Failure{
		Reason: v.reason, Err: v.err, Flow: r.flow.Name(), Version: r.flow.Version(), Binding: t.trigger(),
		Attempts: t.tried, Note: r.note(eventflow.DeadLettered, v.reason),
	})
}

// publishDead publishes a dead letter, with fewer attributes when the broker finds it too large: the event itself goes
// before what we say of it.
func (r *FlowRunner) publishDead(c *chunk, t *task) error {
	ev := r.deadEvent(t)
	full := ev.Attributes
	said := slices.Concat(full, r.obituary(t))
	ev.Attributes = said
	err := r.c.dead.Publish(c.io, ev)
	for keep := len(full) + 1; errors.Is(err, eventflow.ErrTooLarge) && keep >= len(full); keep-- {
		ev.Attributes = said[:keep:keep]
		err = r.c.dead.Publish(c.io, ev)
	}
	return err
}

// deadEvent is the event that failed; of a fire one that tells which.
func (r *FlowRunner) deadEvent(t *task) eventflow.Event {
	if t.d == nil {
		ev := eventflow.Event{
			ID: t.key.String(), Source: "eventflow/" + r.flow.Name(), Type: "eventflow.fire.failed", Subject: t.fire.Clock,
			Time: t.fire.Nominal,
		}
		if len(t.fire.Parameters) > 0 { // New saw that they fit JSON
			if b, err := json.Marshal(t.fire.Parameters); err == nil {
				ev.Data, ev.DataContentType = b, "application/json"
			}
		}
		return ev
	}
	ev := t.d.Event
	var own eventflow.Attributes
	for _, a := range ev.Attributes {
		if !strings.HasPrefix(a.Name, attributePrefix) {
			own = append(own, a)
		}
	}
	ev.Attributes = own
	return ev
}

// obituary says why, the most important first: what does not fit is cut from the end.
func (r *FlowRunner) obituary(t *task) eventflow.Attributes {
	v := &t.ended
	as := eventflow.Attributes{
		{Name: attributeReason, Value: v.reason},
		{Name: attributeFlow, Value: r.flow.Name()},
		{Name: attributeAttempts, Value: strconv.Itoa(t.tried)},
		{Name: attributeTrigger, Value: t.trigger()},
	}
	if version := r.flow.Version(); version != "" {
		as = append(as, eventflow.Attribute{Name: attributeVersion, Value: version})
	}
	if v.err != nil {
		as = append(as, eventflow.Attribute{Name: attributeError, Value: errorClass(v.err)})
		if text := r.errText(v.err); text != "" {
			as = append(as, eventflow.Attribute{Name: attributeText, Value: text})
		}
	}
	return as
}

// errorClass is the type of the innermost error: it says what went wrong without quoting the payload.
func errorClass(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return reflect.TypeOf(err).String()
		}
		err = inner
	}
}

// errText is the error's text as the user lets it out, "" by default.
func (r *FlowRunner) errText(err error) string {
	if err == nil || r.c.deadText == nil {
		return ""
	}
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(r.c.deadText(err), "\uFFFD"))
	for len(text) > maxErrorText {
		_, n := utf8.DecodeLastRuneInString(text[:maxErrorText+1])
		text = text[:maxErrorText+1-n]
	}
	return text
}

// transact gives a transactional subscriber what a chunk came to, as one transaction. When that will never be taken, a
// result is to blame: each task gets a transaction of its own, and whose result it was is given up. It is false when
// something was aborted, which is delivered again.
func (r *FlowRunner) transact(c *chunk, ts []*task) bool {
	err := r.commit(c, ts)
	switch {
	case err == nil:
		return true
	case !eventflow.IsPermanent(err):
	case len(ts) > 1 && !c.batch:
		for i := range ts {
			if !r.transact(c, ts[i:i+1]) {
				abort(ts[i+1:]) // nothing may overtake it
				return false
			}
		}
		return true
	default:
		for _, t := range ts {
			if t.verdict.turn == turnEnd && t.verdict.outcome == eventflow.Succeeded {
				t.verdict, t.out = r.giveUp(t, reasonPermanent, err), nil
			}
		}
		if err = r.commit(c, ts); err == nil {
			return true
		}
	}
	r.faults.say(r.logger(), reasonAborted, "a transaction was aborted; its events are delivered again", err)
	abort(ts)
	return false
}

// abort hands back what a transaction was to acknowledge.
func abort(ts []*task) {
	for _, t := range ts {
		ends := t.verdict.turn == turnEnd && t.verdict.verb == eventflow.Ack
		if !ends && t.verdict.turn != turnBury {
			continue
		}
		back := handBack(reasonAborted, 0)
		if t.verdict.turn == turnBury && t.ended.counted { // its run has failed all the same
			back.counted, back.verb, back.err = true, eventflow.Nack, t.ended.err
		}
		t.verdict, t.out = back, nil
	}
}

// commit makes one transaction of what tasks came to. On an error nothing of them has changed.
func (r *FlowRunner) commit(c *chunk, ts []*task) error {
	var u eventflow.Transaction
	held, some := make([]bool, len(ts)), false // asked once: a lock may go between two questions
	for i, t := range ts {
		held[i] = t.open()
		some = some || held[i] && t.verdict.turn == turnEnd && t.verdict.outcome == eventflow.Succeeded
	}
	for _, p := range r.c.pubs {
		res := eventflow.TransactionResult{Publisher: p.to}
		for i, t := range ts { // the results of a batch belong to all of its events
			if t.verdict.turn == turnEnd && (held[i] || c.batch && some) {
				res.Events = append(res.Events, t.out...)
			}
		}
		u.Results = append(u.Results, res)
	}
	notes := map[*eventflow.Delivery]uint16{}
	var dead []eventflow.Event
	for i, t := range ts {
		end := &t.verdict
		switch {
		case !held[i] || t.verdict.turn != turnBury && t.verdict.turn != turnEnd:
			continue
		case t.verdict.turn == turnEnd:
		case r.c.dead != nil:
			ev := r.deadEvent(t)
			ev.Attributes = append(ev.Attributes, r.obituary(t)...)
			dead, end = append(dead, ev), &t.ended
		default:
			u.Dead = append(u.Dead, eventflow.TransactionDeadLetter{Delivery: t.d, Failure: eventflow.Failure{
				Reason: t.ended.reason, Err: t.ended.err, Flow: r.flow.Name(), Version: r.flow.Version(), Binding: t.trigger(), Attempts: t.tried,
				Note: r.note(eventflow.DeadLettered, t.ended.reason),
			}})
			end = &t.ended
		}
		if end.verb == eventflow.Ack {
			u.Acked = append(u.Acked, t.d)
			notes[t.d] = r.note(end.outcome, end.reason)
		}
	}
	if len(dead) > 0 {
		u.Results = append(u.Results, eventflow.TransactionResult{Publisher: r.c.dead, Events: dead})
	}
	if len(u.Acked) > 0 {
		u.Note = func(d *eventflow.Delivery) uint16 { return notes[d] }
		if err := c.src.clock.(eventflow.Transactional).Transact(c.io, u); err != nil {
			return err
		}
		r.faults.clear(r.logger(), reasonAborted)
	}
	for i, t := range ts {
		t.committed(held[i])
	}
	return nil
}

// committed notes that a transaction has taken what there was of a task.
func (t *task) committed(held bool) {
	switch {
	case t.verdict.turn != turnBury:
	case held:
		t.verdict = t.ended
	default:
		t.verdict = lostAfter(&t.ended)
	}
	t.buried = held && t.verdict.turn == turnEnd && t.verdict.verb == eventflow.Ack
	t.out = nil
}
