package sqstest

import (
	"slices"
	"sync"
	"time"
)

// Clock is what a server measures delays, visibility timeouts, long polls, retention and windows of duplicates with.
type Clock interface {
	// Now need not be monotonic, but should not go back.
	Now() time.Time

	// AfterFunc calls f once, after d. It may call f from within a call of the clock that a test made, but not from
	// within AfterFunc. Stop reports whether it kept f from being called.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// ManualClock is a [Clock] that stands still until it is told to go on. A long poll waits by it too: it ends when a
// message comes, or when the clock was moved on far enough.
type ManualClock struct {
	mu     sync.Mutex // guards all below
	now    time.Time
	alarms []*alarm // by time, then by age
}

type alarm struct {
	at time.Time
	f  func()
}

// NewManualClock makes a clock that shows start.
func NewManualClock(start time.Time) *ManualClock { return &ManualClock{now: start} }

// Now is the time that the clock shows.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f from the Advance that reaches now + d, the first Advance when d is not positive.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &alarm{c.now.Add(max(d, 0)), f}
	i, _ := slices.BinarySearchFunc(c.alarms, a, func(x, a *alarm) int {
		if x.at.After(a.at) {
			return 1
		}
		return -1
	})
	c.alarms = slices.Insert(c.alarms, i, a)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.alarms, a)
		if i < 0 {
			return false
		}
		c.alarms = slices.Delete(c.alarms, i, i+1)
		return true
	}
}

// Advance moves the clock by d, stopping at every moment at which something is due, in order. When it returns, a server
// has noticed; its answers are on their way.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for len(c.alarms) > 0 && !c.alarms[0].at.After(end) {
		a := c.alarms[0]
		c.alarms = slices.Delete(c.alarms, 0, 1)
		c.now = a.at
		c.mu.Unlock()
		a.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}
