package eventflow

import (
	"strconv"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// Gap says what a calendar clock does with a reading that the wall clock jumps over, as it does when summer time begins.
// It is an option of every calendar clock. An instant is one fire, however many readings fall on it.
type Gap uint8

const (
	// GapVixie is Vixie's rule: GapRunAfter for a fixed-time job, GapSkip for a wildcard job, which follows elapsed time.
	// [Cron] says which is which; every other calendar clock is a fixed-time job. It is the default.
	GapVixie Gap = iota
	// GapSkip: it does not run.
	GapSkip
	// GapRunAfter: it runs at the first instant after the gap; several readings of one gap run once.
	GapRunAfter
	// GapShift: it runs when it would have come without the jump, as RFC 5545, section 3.3.5, has it: 02:30 becomes 03:30
	// where the clock goes from 02:00 to 03:00.
	GapShift
)

// Overlap says what a calendar clock does with a reading that the wall clock shows twice, as it does when summer time
// ends. It is an option of every calendar clock.
type Overlap uint8

const (
	// OverlapVixie is Vixie's rule: OverlapFirst for a fixed-time job, OverlapBoth for a wildcard job. It is the default.
	OverlapVixie Overlap = iota
	// OverlapFirst: it runs the first time.
	OverlapFirst
	// OverlapLast: it runs the second time.
	OverlapLast
	// OverlapBoth: it runs both times.
	OverlapBoth
)

// DST is a Gap and an Overlap under one name, as an option of every calendar clock. For other pairs give the two by
// themselves; of several options the later one holds for its side, so "RFC5545, OverlapLast" is a pair too.
type DST uint8

const (
	// Vixie is what cron(8) does, GapVixie and OverlapVixie: nothing that has a fixed time of day is lost or runs twice,
	// and what has a rhythm keeps it. It is the default of Cron and of calendar steps.
	Vixie DST = 0
	// Wall takes the wall clock at its word, GapSkip and OverlapBoth: a run for each time that it shows the reading.
	Wall = DST(GapSkip) | DST(OverlapBoth)<<4
	// RFC5545 is iCalendar's rule, GapShift and OverlapFirst. It is the default of recurrence rules.
	RFC5545 = DST(GapShift) | DST(OverlapFirst)<<4
)

// CalendarOption is an option of every clock that follows a wall clock: a [DST], a [Gap] or an [Overlap].
type CalendarOption interface {
	CronOption
	applyCalendar(d *cron.DST)
}

// Gap is the side of readings that are jumped over.
func (d DST) Gap() Gap { return Gap(d & 15) }

// Overlap is the side of readings that are shown twice.
func (d DST) Overlap() Overlap { return Overlap(d >> 4) }

func (d DST) applyCalendar(c *cron.DST)     { d.Gap().applyCalendar(c); d.Overlap().applyCalendar(c) }
func (g Gap) applyCalendar(c *cron.DST)     { c.Gap = cron.Gap(g) }
func (o Overlap) applyCalendar(c *cron.DST) { c.Overlap = cron.Overlap(o) }

func (d DST) applyCron(c *cronConfig)     { d.applyCalendar(&c.dst) }
func (g Gap) applyCron(c *cronConfig)     { g.applyCalendar(&c.dst) }
func (o Overlap) applyCron(c *cronConfig) { o.applyCalendar(&c.dst) }

var (
	gapNames     = [...]string{"vixie", "skip", "runafter", "shift"}
	overlapNames = [...]string{"vixie", "first", "last", "both"}
)

// String gives the word of canonical texts: "vixie", "skip", "runafter" or "shift".
func (g Gap) String() string { return dstName("Gap", gapNames[:], int(g)) }

// String gives the word of canonical texts: "vixie", "first", "last" or "both".
func (o Overlap) String() string { return dstName("Overlap", overlapNames[:], int(o)) }

// String gives the pair as canonical texts have it, as in "gap=skip overlap=both"; a side of Vixie's is left out.
func (d DST) String() string {
	if d == Vixie {
		return "gap=vixie overlap=vixie"
	}
	return string(appendDST(nil, cron.DST{Gap: cron.Gap(d.Gap()), Overlap: cron.Overlap(d.Overlap())}, cron.DST{}))[1:]
}

func dstName(kind string, names []string, i int) string {
	if i >= len(names) {
		return kind + "(" + strconv.Itoa(i) + ")"
	}
	return names[i]
}

// appendDST writes " gap=skip overlap=both", each side only where it is not the clock's default.
func appendDST(b []byte, d, standard cron.DST) []byte {
	if d.Gap != standard.Gap {
		b = append(append(b, " gap="...), Gap(d.Gap).String()...)
	}
	if d.Overlap != standard.Overlap {
		b = append(append(b, " overlap="...), Overlap(d.Overlap).String()...)
	}
	return b
}

// applyCalendarOptions gives what the options make of a clock's default; clock is the constructor's name, for errors.
func applyCalendarOptions(clock string, standard cron.DST, opts []CalendarOption) (cron.DST, error) {
	for i, o := range opts {
		if o == nil {
			return standard, nilOption(clock, i)
		}
		o.applyCalendar(&standard)
	}
	return standard, checkDST(clock, standard)
}

func nilOption(clock string, i int) error {
	return &ConfigError{Field: clock + " option " + strconv.Itoa(i), Value: "nil", Allowed: "an option, or none"}
}

func checkDST(clock string, d cron.DST) error {
	if int(d.Gap) >= len(gapNames) {
		return &ConfigError{Field: clock + " gap", Value: Gap(d.Gap).String(), Allowed: "GapVixie, GapSkip, GapRunAfter or GapShift"}
	}
	if int(d.Overlap) >= len(overlapNames) {
		return &ConfigError{Field: clock + " overlap", Value: Overlap(d.Overlap).String(), Allowed: "OverlapVixie, OverlapFirst, OverlapLast or OverlapBoth"}
	}
	return nil
}
