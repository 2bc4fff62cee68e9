package broker

import "slices"

// The consumers of a group that wait in Next, the longest first, are woken one at a time: one that leaves something
// behind wakes the next.

// wakeOne wakes the consumer that has waited longest.
func (g *group) wakeOne() {
	if len(g.waiters) > 0 {
		g.wake(g.waiters[0])
	}
}

func (g *group) wake(s *subscriber) {
	if i := slices.Index(g.waiters, s); i >= 0 {
		g.waiters = slices.Delete(g.waiters, i, i+1)
		signal(s.wake)
	}
}

func (g *group) wakeAll() {
	for len(g.waiters) > 0 {
		g.wakeOne()
	}
}

// pass is called when a Next returns: what it leaves behind is somebody else's to take, or to wait for.
func (g *group) pass() {
	if len(g.waiters) == 0 {
		return
	}
	if !g.main.empty() || !g.again.empty() || g.ready.n > 0 {
		g.wakeOne()
		return
	}
	if len(g.delays) > 0 {
		due := g.delays[0].key
		if !slices.ContainsFunc(g.waiters, func(s *subscriber) bool { return s.armed && s.due <= due }) {
			g.wakeOne()
		}
	}
}

// unwait takes s off the waiters, where it still is when nobody has woken it.
func (g *group) unwait(s *subscriber) {
	if i := slices.Index(g.waiters, s); i >= 0 {
		g.waiters = slices.Delete(g.waiters, i, i+1)
	}
	s.armed = false
}
