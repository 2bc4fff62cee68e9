package broker

import "strings"

// A lane is the events of one Key in one group. It has a record while it has events, and for a while after.
type lane struct {
	losing int // events that are lost or abandoned and not back yet: nothing of it is handed over
	key    string
	owner  *subscriber // holds events of it; nobody else is given any
	held   int         // how many
	live   int         // events of any state

	// back holds what was given back, by its place; everything in it comes before everything in waiting, because a
	// lane is handed over in order. waiting holds what the topic's queue reached while the lane was not available.
	back    heap
	waiting fifo

	list       *laneList // the list it is on: of lanes with something to hand over, or of idle ones
	prev, next *lane
}

// head is the event that is next in order, or none.
func (l *lane) head() int32 {
	if len(l.back) > 0 {
		return l.back[0].slot
	}
	return l.waiting.first
}

func (l *lane) pop(s *slot) {
	if len(l.back) > 0 {
		l.back.pop()
		return
	}
	l.waiting.pop(s)
}

// A laneList is doubly linked through its lanes: a lane leaves from anywhere.
type laneList struct {
	first, last *lane
	n           int
}

func (ls *laneList) push(l *lane) {
	l.list, l.prev, l.next = ls, ls.last, nil
	if ls.last == nil {
		ls.first = l
	} else {
		ls.last.next = l
	}
	ls.last = l
	ls.n++
}

func (l *lane) leave() {
	ls := l.list
	if ls == nil {
		return
	}
	if l.prev == nil {
		ls.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		ls.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	ls.n--
	l.list, l.prev, l.next = nil, nil, nil
}

// lanes are a group's, by Key. Records without events stay for a while, because keys come back; of more than maxIdleLanes
// the oldest goes, so that keys which never come back cost nothing.
type lanes struct {
	byKey map[string]*lane
	idle  laneList
	spare laneList // records without a key
}

const (
	maxIdleLanes  = 4096
	maxSpareLanes = 256
)

// enter counts one more event of the key.
func (ls *lanes) enter(key string) *lane {
	l := ls.byKey[key]
	switch {
	case l == nil:
		l = ls.record()
		// The key may be a part of something large that must not be kept for an idle lane.
		l.key = strings.Clone(key)
		if ls.byKey == nil {
			ls.byKey = make(map[string]*lane)
		}
		ls.byKey[l.key] = l
	case l.live == 0:
		l.leave()
	}
	l.live++
	return l
}

func (ls *lanes) record() *lane {
	l := ls.spare.first
	if l == nil {
		return &lane{waiting: newFIFO()}
	}
	l.leave()
	return l
}

// exit counts one event less.
func (ls *lanes) exit(l *lane) {
	l.live--
	if l.live > 0 {
		return
	}
	l.leave()
	if cap(l.back) > 64 {
		l.back = nil
	}
	ls.idle.push(l)
	if ls.idle.n <= maxIdleLanes {
		return
	}
	oldest := ls.idle.first
	oldest.leave()
	delete(ls.byKey, oldest.key)
	oldest.key = ""
	if ls.spare.n < maxSpareLanes {
		ls.spare.push(oldest)
	}
}
