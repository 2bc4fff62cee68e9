package runner

import (
	"fmt"
	"maps"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// Counts is one snapshot of what a runner received and what became of it. The unit is a delivery (a retry in its lane
// is the same delivery, a redelivery a new one) or a fire. In every snapshot
//
//	Received = the sum of Outcomes + InFlight
//
// An outcome counts when the broker has confirmed the settlement; until then the delivery is in flight.
type Counts struct {
	Received int64
	InFlight int64
	Outcomes map[eventflow.Outcome]int64
	// Reasons divide the outcomes that have one: skipped, handed back, dead-lettered, failed, expired.
	Reasons map[Reason]int64
	// Fires are those of Received and InFlight, Outcomes that clocks started.
	Fires FireCounts
	// Unconfirmed are deliveries that count by their outcome although the broker did not confirm its settlement: they
	// may be delivered again.
	Unconfirmed int64
	// Retries are failed runs whose delivery or fire stayed here for another attempt.
	Retries int64
}

// String tells the balance in a line: "1708 received = 1707 succeeded + 1 dead-lettered", with what is in flight, if
// anything is.
func (c Counts) String() string {
	return fmt.Sprintf("%d received", c.Received) + balance(func(o eventflow.Outcome) int64 { return c.Outcomes[o] }, c.InFlight, "in flight")
}

// balance is the right side of a balance: " = 2 succeeded + 1 failed", and what is left, if anything is.
func balance(of func(eventflow.Outcome) int64, left int64, leftAs string) string {
	var b strings.Builder
	sign := " = "
	for o := range eventflow.Outcomes {
		if n := of(eventflow.Outcome(o + 1)); n > 0 {
			fmt.Fprintf(&b, "%s%d %v", sign, n, eventflow.Outcome(o+1))
			sign = " + "
		}
	}
	if left > 0 || sign == " = " {
		fmt.Fprintf(&b, "%s%d %s", sign, left, leftAs)
	}
	return b.String()
}

// FireCounts are the part of [Counts] that clocks started.
type FireCounts struct {
	Received int64
	InFlight int64
	Outcomes map[eventflow.Outcome]int64
}

// Reason is an outcome and why.
type Reason struct {
	Outcome eventflow.Outcome
	Why     string // "shutdown", "lock lost", "exhausted", or what eventflow.Skip was given
}

// Reasons with which the runner itself ends or holds a delivery or a fire.
const (
	reasonRetry     = "retry"
	reasonBusy      = "busy"
	reasonShutdown  = "shutdown"
	reasonLost      = "lock lost"
	reasonElsewhere = "held elsewhere"
	reasonPaused    = "paused"
	reasonFilter    = "filter"
	reasonOverlap   = "overlap"
	reasonMissed    = "missed"
	reasonDecode    = "decode"
	reasonPermanent = "permanent"
	reasonExhausted = "exhausted"
	reasonAge       = "max age"
	reasonPublish   = "publish"
	reasonAborted   = "transaction"
	reasonStore     = "store"
	reasonDead      = "dead letter"
	reasonHere      = "running"
	reasonWaiting   = "waiting"
	reasonEarly     = "early"
	reasonAbandoned = "abandoned"
	reasonUnsure    = "unconfirmed"
)

// tally is the counters under FlowRunner.mu. Reasons are interned, so that a settlement's note of 16 bits can carry
// them: 4 bits of outcome, 12 of reason.
type tally struct {
	received, inFlight int64
	fires, firesFlying int64
	outcomes, fireEnds [eventflow.Outcomes + 1]int64
	unconfirmed, tries int64
	reasons            []string
	index              map[string]uint16
	byReason           map[uint16]int64
}

const (
	maxReasons   = 1 << 12
	otherReasons = "other"
)

// note packs an outcome and its reason. Skip's reasons are the user's: beyond 4,095 different ones they count as other.
func (c *tally) note(o eventflow.Outcome, reason string) uint16 {
	if reason == "" {
		return uint16(o)
	}
	if c.index == nil {
		c.index, c.reasons, c.byReason = map[string]uint16{}, []string{""}, map[uint16]int64{}
	}
	i, ok := c.index[reason]
	if !ok {
		if len(c.reasons) == maxReasons-1 {
			reason = otherReasons
		}
		if i, ok = c.index[reason]; !ok {
			i = uint16(len(c.reasons)) // below maxReasons
			c.index[reason] = i
			c.reasons = append(c.reasons, reason)
		}
	}
	return uint16(o) | i<<4
}

// end counts the end of one delivery.
func (c *tally) end(note uint16) {
	c.inFlight--
	c.outcomes[note&0xf]++
	if note > 0xf {
		c.byReason[note]++
	}
}

// endFire counts the end of one fire.
func (c *tally) endFire(note uint16) {
	c.end(note)
	c.firesFlying--
	c.fireEnds[note&0xf]++
}

// Counts gives one consistent snapshot. It may be called at any time, by any goroutine.
func (r *FlowRunner) Counts() Counts {
	r.mu.Lock()
	defer r.unlock()
	t := &r.tally
	c := Counts{
		Received: t.received, InFlight: t.inFlight, Outcomes: byOutcome(t.outcomes), Unconfirmed: t.unconfirmed, Retries: t.tries,
		Reasons: make(map[Reason]int64, len(t.byReason)),
		Fires:   FireCounts{Received: t.fires, InFlight: t.firesFlying, Outcomes: byOutcome(t.fireEnds)},
	}
	for note, n := range maps.All(t.byReason) {
		c.Reasons[Reason{Outcome: eventflow.Outcome(note & 0xf), Why: t.reasons[note>>4]}] = n
	}
	return c
}

func byOutcome(ns [eventflow.Outcomes + 1]int64) map[eventflow.Outcome]int64 {
	m := map[eventflow.Outcome]int64{}
	for o, n := range ns {
		if n > 0 {
			m[eventflow.Outcome(o)] = n // an index of the array
		}
	}
	return m
}
