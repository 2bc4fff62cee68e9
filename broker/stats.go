package broker

import "time"

// GroupStats is one snapshot of a group. At any moment
//
//	Published + Redriven + Duplicated = Queued + Delayed + InFlight + Acked + DeadLettered
type GroupStats struct {
	Published    int64 // events that were published to the group
	Redriven     int64 // that came back from the dead letters
	Duplicated   int64 // that a fault made
	Queued       int   // wait to be handed over, or for their lane
	Delayed      int   // wait for an instant: a delay, or the end of a lease that is not renewed
	InFlight     int   // are handed over
	Acked        int64 // acknowledged
	DeadLettered int64 // written to the dead letters, by a consumer or by the broker

	HandedOver int64 // hand-overs ever
	Failed     int64 // failed attempts ever
	Bytes      int   // what CapacityBytes counts
	Consumers  int   // subscribers that are open
	Flights    []Flight
}

// Flight is an event that is handed over and not settled.
type Flight struct {
	ID, Source string    // of the event
	Lane       string    // "": none
	Since      time.Time // the hand-over
	Attempts   int       // failed ones so far
	Receives   int       // hand-overs, this one included
	Redrive    int
}

// Stats tells about a group of a topic, "" for the default one, with what is in flight in the order of publishing. It is
// zero for a group that there is not. It looks at every event of the group: do not call it in a loop.
func (m *Memory) Stats(topic, group string) GroupStats {
	t := m.known(topic)
	if t == nil {
		return GroupStats{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.find(group)
	if g == nil && !t.adopted && group == "" {
		g = t.groups[0] // what waits for a first group
	}
	if g == nil {
		return GroupStats{}
	}
	c := &g.count
	st := GroupStats{
		Published: c.published, Redriven: c.redriven, Duplicated: c.duplicated,
		Queued: g.queued, Delayed: g.delayed, InFlight: g.live - g.queued - g.delayed,
		Acked: c.acked, DeadLettered: c.deadLettered,
		HandedOver: c.handedOver, Failed: c.attempt,
		Bytes: g.bytes, Consumers: g.consumers,
	}
	for _, i := range g.held(nil) {
		sl := g.slots.at(i)
		st.Flights = append(st.Flights, Flight{
			ID: sl.d.Event.ID, Source: sl.d.Event.Source, Lane: sl.d.Event.Key, Since: sl.d.LockedUntil.Add(-m.set.lease),
			Attempts: int(sl.attempt), Receives: int(sl.receive), Redrive: int(sl.redrive),
		})
	}
	return st
}
