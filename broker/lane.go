package broker

import (
	"strings"
	"sync"

	"github.com/eventflow-go/eventflow"
)

// A lane is the events of one Key in one group. It has a record while it has events, and for a while after.
//
// Publisher, consumer and settler, on cores of their own, hand the record to each other with every event: what they write
// is in its first 64 bytes, and its size makes the allocator begin it on a multiple of 64.
type lane struct {
	owner *subscriber // holds events of it; nobody else is given any
	list  *laneList   // the list it is on: of lanes with something to hand over, or of idle ones

	// back holds what was given back, by its place; everything in it comes before everything in waiting, because a
	// lane is handed over in order. waiting holds what the topic's queue reached while the lane was not available.
	back    heap
	waiting fifo

	held   int32 // events of it that the owner holds
	live   int32 // events of any state
	losing int32 // events that are lost or abandoned and not back yet: nothing of it is handed over

	key        string
	prev, next *lane
	_          [32]byte
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
	look  sync.Mutex // for find: whoever changes byKey holds it beside the topic's
	byKey map[string]*lane
	gone  uint64 // records that were taken from their keys
	idle  laneList
	spare laneList // records without a key
}

const (
	maxIdleLanes  = 4096
	maxSpareLanes = 256
)

// found are the lanes of a publisher's events; nil: not known.
type found struct {
	lanes [mostAhead]*lane
	gone  uint64 // lanes.gone when they were looked for
}

// find looks for lanes without the topic's lock: consumers would wait for that meanwhile.
func (ls *lanes) find(f *found, evs []eventflow.Event) {
	if !ls.look.TryLock() {
		return
	}
	defer ls.look.Unlock()
	f.gone = ls.gone
	for i := range evs {
		if key := evs[i].Key; key != "" {
			f.lanes[i] = ls.byKey[key]
		}
	}
}

// enter counts one more event of the key, whose lane is the i-th that f found, if there is an f.
func (ls *lanes) enter(key string, f *found, i int) *lane {
	var l *lane
	if f != nil && f.gone == ls.gone { // none is another's by now
		l = f.lanes[i]
	}
	if l == nil {
		l = ls.byKey[key]
	}
	switch {
	case l == nil:
		l = ls.record()
		// The key may be a part of something large that must not be kept for an idle lane.
		l.key = strings.Clone(key)
		ls.look.Lock()
		if ls.byKey == nil {
			ls.byKey = make(map[string]*lane)
		}
		ls.byKey[l.key] = l
		ls.look.Unlock()
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
	ls.look.Lock()
	delete(ls.byKey, oldest.key)
	ls.gone++
	ls.look.Unlock()
	oldest.key = ""
	if ls.spare.n < maxSpareLanes {
		ls.spare.push(oldest)
	}
}
