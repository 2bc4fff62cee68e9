package servicebustest

import (
	"sync"
	"time"
)

// Clock is what a server measures locks, times to live, scheduled messages and windows of duplicates with. The life of
// a token is measured by time.Now, because it is the client's clock that signed it.
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

// ManualClock is a [Clock] that stands still until it is told to go on. When Advance returns, everything that was due
// in a server has happened in it; what it says about it to its clients is on its way.
type ManualClock struct {
	mu     sync.Mutex // guards all below
	now    time.Time
	alarms map[*alarm]struct{}
}

type alarm struct {
	at time.Time
	f  func()
}

// NewManualClock makes a clock that shows start. Clients compare what a server says with their own clocks, so the
// present is a good start.
func NewManualClock(start time.Time) *ManualClock {
	return &ManualClock{now: start, alarms: map[*alarm]struct{}{}}
}

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
	a := &alarm{c.now.Add(d), f}
	c.alarms[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.alarms[a]
		delete(c.alarms, a)
		return waiting
	}
}

// Advance moves the clock by d, stopping at every moment at which something is due, in order.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		var first *alarm
		for a := range c.alarms {
			if !a.at.After(end) && (first == nil || a.at.Before(first.at)) {
				first = a
			}
		}
		if first == nil {
			break
		}
		delete(c.alarms, first)
		if first.at.After(c.now) {
			c.now = first.at
		}
		c.mu.Unlock()
		first.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}
