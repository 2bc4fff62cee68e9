package runner

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// OverlapPolicy says what becomes of a fire that is due while a run of its clock is live. The names are Temporal's. The
// policies hold across the runners that share a store, but for OverlapCancelOther, which reaches the runs of its own
// process and waits for the others.
type OverlapPolicy int8

const (
	// OverlapSkip skips the fire. It is the default.
	OverlapSkip OverlapPolicy = iota
	// OverlapBufferOne keeps one fire until the run has ended, and skips the others.
	OverlapBufferOne
	// OverlapBufferAll keeps up to 1,000 fires, which run one after another, and skips the others.
	OverlapBufferAll
	// OverlapCancelOther cancels the live run with ErrOverlap and starts when it has ended. A run that returns an error
	// then ends as skipped.
	OverlapCancelOther
	// OverlapAllowAll starts the fire at once. FireSlots bounds how many run, and 1,000 may wait for a slot: others are
	// skipped.
	OverlapAllowAll
)

var overlapNames = [...]string{"Skip", "BufferOne", "BufferAll", "CancelOther", "AllowAll"}

// String gives the policy's name, such as "BufferOne".
func (p OverlapPolicy) String() string {
	if p >= 0 && int(p) < len(overlapNames) {
		return overlapNames[p]
	}
	return "OverlapPolicy(" + strconv.Itoa(int(p)) + ")"
}

// Overlap sets what becomes of a fire that is due while a run of its clock is live; default OverlapSkip. It is per
// clock: a flow that is busy with events, or with another clock, skips nothing.
func Overlap(p OverlapPolicy) AtOption {
	return atOption(func(c *config, t *timer) {
		if p < OverlapSkip || p > OverlapAllowAll {
			c.fail("runner.Overlap", p.String(), "OverlapSkip, OverlapBufferOne, OverlapBufferAll, OverlapCancelOther or OverlapAllowAll")
			return
		}
		t.overlap = p
	})
}

// MissedMode says which of the fires are made up for that nobody started when they were due: the process was down, the
// machine asleep, the store unreachable.
type MissedMode int8

const (
	// MissedLatest runs the latest, whose Fire.Missed lists the others. It is the default.
	MissedLatest MissedMode = iota
	// MissedAll runs all, the oldest first, one after another unless the overlap policy allows all at once.
	MissedAll
	// MissedNone runs none.
	MissedNone
)

var missedNames = [...]string{"Latest", "All", "None"}

// String gives the mode's name, such as "Latest".
func (m MissedMode) String() string {
	if m >= 0 && int(m) < len(missedNames) {
		return missedNames[m]
	}
	return "MissedMode(" + strconv.Itoa(int(m)) + ")"
}

const (
	scanMost    = 10_000         // a scan for missed fires stops here, and says so
	scanTries   = 3              // how often it is begun anew nearer to the last, for the newest
	missedAge   = 24 * time.Hour // default of Missed
	missedMost  = 1000           // default of Missed
	bufferMost  = 1000           // of OverlapBufferAll
	missedAfter = time.Minute    // a fire that is late by more counts as missed: timers are not trusted for longer
)

// Missed sets which missed fires are made up for, how old they may be (below it they are skipped; 0 keeps the default of
// 24 hours), and how many at most MissedAll runs, the latest ones (0 keeps the default of 1,000; at most 10,000). A fire
// is missed when the clock's next one was due before it could start, or when it is late by more than a minute.
func Missed(mode MissedMode, within time.Duration, atMost int) AtOption {
	return atOption(func(c *config, t *timer) {
		if mode < MissedLatest || mode > MissedNone {
			c.fail("runner.Missed", mode.String(), "MissedLatest, MissedAll or MissedNone")
			return
		}
		t.missed = mode
		if within != 0 {
			c.setDuration("runner.Missed within", &t.missedAge, within, time.Second, 366*24*time.Hour)
		}
		if atMost != 0 {
			if c.within("runner.Missed atMost", atMost, 1, scanMost) {
				t.missedMost = int32(atMost)
			}
		}
	})
}

// Jitter delays each fire by a part of most, so that many clocks of one time do not start at once; default none. The
// part is a hash of flow, clock and nominal time, the same on every replica and after every restart, and never reaches
// the clock's next fire. Fire.Nominal stays what the clock gave.
func Jitter(most time.Duration) AtOption {
	return atOption(func(c *config, t *timer) {
		c.setDuration("runner.Jitter", &t.jitter, most, 0, 24*time.Hour)
	})
}

// jittered gives when a fire of the clock is due.
func (tm *timer) jittered(flow string, nominal time.Time) time.Time {
	most := tm.jitter
	if most <= 0 || nominal.IsZero() {
		return nominal
	}
	if next := tm.clock.Next(nominal); !next.IsZero() {
		most = min(most, next.Sub(nominal)-1)
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, eventflow.FireKey(flow, tm.name, nominal)) // a hash never fails
	return nominal.Add(time.Duration(h.Sum64() % uint64(most+1)))   // below most
}
