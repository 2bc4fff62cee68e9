package eventflow

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// Planned is one line of a preview: a fire to come, or something that looks like one and does not run.
type Planned struct {
	// Fire is what a run would be given: the clock's name, nominal time, parameters and labels. Of what does not run it is
	// what it would have been.
	Fire Fire
	// Time is Fire.Nominal in the clock's own zone, for people to read.
	Time time.Time
	// Verdict says whether it runs, and if not, what keeps it from it.
	Verdict Verdict
	// Why tells a person more: which filter, where it is moved to, which reading the clock skips. Empty: there is nothing
	// to tell. Its wording may change.
	Why string
	// OffsetChange is by how much the clock is put forward (above zero) or back on the day of Time in Time's zone. Zero on
	// all other days.
	OffsetChange time.Duration
}

// Verdict says what becomes of a [Planned] fire.
type Verdict uint8

const (
	// Runs: it is a fire.
	Runs Verdict = iota
	// Filtered: a filter of the schedule keeps it out.
	Filtered
	// Moved: an adjustment moves it. Where it goes is another line.
	Moved
	// Repeated: a clock that is listed earlier has an equal fire, which runs in its place.
	Repeated
	// NoSuchReading: the wall clock jumps over the reading, and the clock's policy is not to run then.
	NoSuchReading
	// OtherReading: the wall clock shows the reading twice, and the clock's policy is to run at the other one.
	OtherReading
	// GaveUp: it is no fire. The search for the clock's next one ended here, without any among 10,000 candidates, and so
	// does the clock.
	GaveUp
)

var verdictNames = [...]string{"runs", "filtered", "moved", "repeated", "no such reading", "other reading", "gave up"}

// String gives a word or two, such as "no such reading".
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// Preview tells what a clock does from an instant, inclusive, until another, exclusive, in the order of time: every fire,
// and everything that looks like one and does not run, with the reason. It computes as far as it is read, so a loop may
// break off anywhere. A clock with an Err gives nothing.
func Preview(c TimeClock, from, to time.Time) iter.Seq[Planned] {
	return NewSchedule(c).Preview(from, to)
}

// Preview tells what the schedule does from an instant, inclusive, until another, exclusive, as [Preview] does for one
// clock. What filters keep out and adjustments move is listed at the time that it would have had without. Things of one
// instant come in the order of their clocks.
func (s *Schedule) Preview(from, to time.Time) iter.Seq[Planned] {
	from = firstInstant(from)
	return func(yield func(Planned) bool) {
		if s.broken {
			return
		}
		var streams []*stream
		for _, c := range s.clocks {
			streams = append(streams, c.lost(from, to), c.rejected(from, to), c.planned(from, to))
		}
		marks := map[dayOfZone]time.Duration{}
		for {
			var first *stream
			for _, st := range streams {
				if st.peek() && (first == nil || st.head.Time.Before(first.head.Time)) {
					first = st
				}
			}
			if first == nil {
				return
			}
			p := first.head
			first.ready = false
			if p.Verdict == nothing {
				continue
			}
			p.OffsetChange = offsetChange(p.Time, marks)
			if !yield(p) {
				return
			}
		}
	}
}

// nothing marks how far a stream has looked where it has nothing to tell, so that it need not look further than others.
const nothing Verdict = 255

// stream is lines in the order of time, computed one by one.
type stream struct {
	next  func() (Planned, bool)
	head  Planned
	ready bool // head is the next line
	ended bool
}

func (s *stream) peek() bool {
	if !s.ready && !s.ended {
		s.head, s.ready = s.next()
		s.ended = !s.ready
	}
	return s.ready
}

func (c *MemberClock) line(t time.Time, v Verdict, why string) Planned {
	return Planned{Fire: c.fire(t), Time: t.Round(0), Verdict: v, Why: why}
}

// planned is the clock's fires.
func (c *MemberClock) planned(from, to time.Time) *stream {
	at, ended := from.Add(-1), false
	return &stream{next: func() (Planned, bool) {
		if ended {
			return Planned{}, false
		}
		t, gaveUp := c.search(at)
		switch {
		case gaveUp:
			ended = true
			return c.line(later(at, from), GaveUp, fmt.Sprintf("no fire among the next %d candidates", searchMost)), true
		case t.IsZero() || !t.Before(to):
			return Planned{}, false
		}
		at = t
		if o := c.owner(t); o != nil {
			return c.line(t, Repeated, "it is equal to the fire of "+o.Name()), true
		}
		return c.line(t, Runs, c.whyHere(t)), true
	}}
}

// rejected is the clock's fires that filters keep out or adjustments move.
func (c *MemberClock) rejected(from, to time.Time) *stream {
	if c.schedule.filterAndAdjusts == "" {
		return &stream{ended: true}
	}
	at := from.Add(-1)
	return &stream{next: func() (Planned, bool) {
		t := c.entry.Next(at)
		if t.IsZero() || !t.Before(to) || !t.After(at) {
			return Planned{}, false
		}
		at = t
		if filter := c.schedule.rejects(t); filter != "" {
			return c.line(t, Filtered, filter), true
		}
		if u := c.moved(t); !u.Equal(t) {
			return c.line(t, Moved, "to "+u.In(t.Location()).Format("Mon 2006-01-02 15:04:05 -0700")), true
		}
		return c.line(t, nothing, ""), true
	}}
}

// whyHere tells why a fire is at a time at which its clock does not show a matching reading.
func (c *MemberClock) whyHere(t time.Time) string {
	if len(c.schedule.moves) > 0 && (!c.entry.Next(t.Add(-1)).Equal(t) || c.schedule.rejects(t) != "" || !c.moved(t).Equal(t)) {
		return "moved here by an adjustment"
	}
	readings, dst, loc := c.calendar()
	if loc == nil || len(c.schedule.moves) > 0 {
		return ""
	}
	if w, ok := readings.Reading(wall(t, loc)); ok && w == wall(t, loc) && dst.Gap != cron.GapShift {
		return ""
	}
	for change := range cron.Changes(loc, t.Add(-48*time.Hour), t.Add(time.Second)) {
		first, end := change.Lost()
		switch {
		case dst.Gap == cron.GapAfter && change.At == t.Unix():
			if w, ok := readings.Reading(first); ok && w < end {
				return noReading(w)
			}
		case dst.Gap == cron.GapShift:
			w := t.Unix() + change.Before
			if v, ok := readings.Reading(w); ok && v == w && first <= w && w < end {
				return noReading(w)
			}
		}
	}
	return ""
}

// lost is the readings that changes of the zone's offset keep from running.
func (c *MemberClock) lost(from, to time.Time) *stream {
	readings, dst, loc := c.calendar()
	if loc == nil {
		return &stream{ended: true}
	}
	// A change matters for as long before and after it as it is large.
	const reach = 48 * time.Hour
	changes := from.Add(-reach)
	var lines []Planned
	return &stream{next: func() (Planned, bool) {
		for len(lines) == 0 {
			found := false
			for change := range cron.Changes(loc, changes, to.Add(reach)) {
				found = true
				changes = time.Unix(change.At+1, 0)
				lines = c.lostAt(change, readings, dst, loc, from, to)
				break
			}
			if !found {
				return Planned{}, false
			}
		}
		line := lines[0]
		lines = lines[1:]
		return line, true
	}}
}

func (c *MemberClock) lostAt(change cron.Change, readings cron.Readings, dst cron.DST, loc *time.Location, from, to time.Time) (lines []Planned) {
	add := func(sec int64, v Verdict, why string) {
		t := time.Unix(sec, 0).In(loc)
		within := !t.Before(from) && t.Before(to) && !t.Before(c.entry.from) && (c.entry.until.IsZero() || !t.After(c.entry.until))
		if within && (v == NoSuchReading || !c.entry.Next(t.Add(-1)).Equal(t)) {
			lines = append(lines, c.line(t, v, why))
		}
	}
	each := func(first, end int64, f func(w int64)) {
		for w, ok := readings.Reading(first); ok && w < end; w, ok = readings.Reading(w + 1) {
			f(w)
		}
	}
	if first, end := change.Lost(); dst.Gap == cron.GapSkip {
		each(first, end, func(w int64) { add(change.At, NoSuchReading, noReading(w)) })
	}
	first, end := change.Twice()
	switch dst.Overlap {
	case cron.OverlapFirst:
		each(first, end, func(w int64) { add(w-change.After, OtherReading, "the clock showed "+reading(w)+" before") })
	case cron.OverlapLast:
		each(first, end, func(w int64) { add(w-change.Before, OtherReading, "the clock shows "+reading(w)+" again") })
	}
	return lines
}

// calendar is that of the clock, if it follows a wall clock; else the zone is nil.
func (c *MemberClock) calendar() (r cron.Readings, d cron.DST, loc *time.Location) {
	if w, ok := c.entry.clock.(interface {
		calendar() (cron.Readings, cron.DST, *time.Location)
	}); ok {
		return w.calendar()
	}
	return nil, cron.DST{}, nil
}

func noReading(w int64) string { return "the clock jumps over " + reading(w) }

// reading is a wall reading as people write it, with seconds where there are any.
func reading(w int64) string {
	layout := "15:04"
	if w%60 != 0 {
		layout = time.TimeOnly
	}
	return time.Unix(w, 0).UTC().Format(layout)
}

// dayOfZone is a day of a zone's calendar.
type dayOfZone struct {
	zone string
	day  int64
}

// offsetChange gives by how much the zone's clock is put forward on the day of t. A few days are remembered.
func offsetChange(t time.Time, marks map[dayOfZone]time.Duration) time.Duration {
	loc := t.Location()
	w := wall(t, loc)
	key := dayOfZone{loc.String(), floorDiv(w, daySeconds)}
	if by, ok := marks[key]; ok {
		return by
	}
	if len(marks) > 64 {
		clear(marks)
	}
	by := time.Duration(0)
	for c := range cron.Changes(loc, t.Add(-48*time.Hour), t.Add(48*time.Hour)) {
		if floorDiv(c.At+c.After, daySeconds) == key.day { // at midnight too, forward or back
			by += time.Duration(c.After-c.Before) * time.Second
		}
	}
	marks[key] = by
	return by
}
