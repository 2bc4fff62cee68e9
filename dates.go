package eventflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DatesClock fires at given instants. It is immutable and safe for concurrent use. Make one with [Dates].
type DatesClock struct {
	dates []time.Time // UTC, ascending, each once
	text  string
	err   error
}

// Dates fires at the instants given, in any order; one that is given twice fires once. There must be at least one, and
// each must lie between the years 1 and 9999 and not be the zero time, or [DatesClock.Err] says so and nothing fires.
// An instant carries its own zone, so changes of summer time do not concern it.
func Dates(ts ...time.Time) *DatesClock {
	c := &DatesClock{dates: make([]time.Time, len(ts))}
	for i, t := range ts {
		c.dates[i] = t.UTC()
		if t = c.dates[i]; c.err == nil && (!t.After(time.Time{}) || t.Unix() > lastFire) {
			c.err = &ConfigError{
				Field: "eventflow.Dates date " + strconv.Itoa(i), Value: t.Format(time.RFC3339Nano),
				Allowed: "an instant after the zero time and before the year 10000, UTC",
			}
		}
	}
	if len(ts) == 0 {
		c.err = &ConfigError{Field: "eventflow.Dates", Value: "", Allowed: "at least one date"}
	}
	slices.SortFunc(c.dates, time.Time.Compare)
	c.dates = slices.Compact(c.dates)
	c.text = datesName(c.dates)
	if c.err != nil {
		c.dates = nil
	}
	return c
}

// Next gives the first date strictly after the instant, in UTC; the zero time after the last.
func (c *DatesClock) Next(after time.Time) time.Time {
	i, found := slices.BinarySearchFunc(c.dates, after, time.Time.Compare)
	if found {
		i++
	}
	if i == len(c.dates) {
		return time.Time{}
	}
	return c.dates[i]
}

// StartDate is the first date, the zero time when there is none.
func (c *DatesClock) StartDate() time.Time { return c.Next(time.Time{}) }

// EndDate is the last date, the zero time when there is none.
func (c *DatesClock) EndDate() time.Time {
	if len(c.dates) == 0 {
		return time.Time{}
	}
	return c.dates[len(c.dates)-1]
}

// Err is a *[ConfigError] when there are no dates or one cannot be, else nil.
func (c *DatesClock) Err() error {
	if c.err == nil && len(c.dates) == 0 { // the zero DatesClock
		return Dates().err
	}
	return c.err
}

// String gives the canonical text, the clock's name where it has no other: the dates in UTC, as in
// "dates(2026-03-01T09:00:00Z,2026-06-01T08:00:00Z)". A list that would make it longer than 128 bytes is written as its
// number, its first and last date and a hash of all of them; [DatesClock.MarshalText] gives them all.
func (c *DatesClock) String() string {
	if c.text == "" {
		return "dates()"
	}
	return c.text
}

// MarshalText gives the whole canonical text, which [ParseClock] reads, however long. A clock with an Err has none.
func (c *DatesClock) MarshalText() ([]byte, error) { return []byte(datesText(c.dates)), c.Err() }

// UnmarshalText takes a canonical text. It is for a new DatesClock: it must not be called on one that is in use.
func (c *DatesClock) UnmarshalText(text []byte) error { return unmarshalClock(c, text) }

func datesText(ts []time.Time) string {
	var b strings.Builder
	b.WriteString("dates(")
	for i, t := range ts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(t.Format(time.RFC3339Nano))
	}
	b.WriteByte(')')
	return b.String()
}

// datesName is the text when it is short enough for a name.
func datesName(ts []time.Time) string {
	text := datesText(ts)
	if len(text) <= maxName {
		return text
	}
	return boundedName(fmt.Sprintf("dates(%d from %s to %s %s)", len(ts),
		ts[0].Format(time.RFC3339Nano), ts[len(ts)-1].Format(time.RFC3339Nano), textHash(text)))
}

// boundedName keeps a canonical text that is too long for a name apart from all others by a hash of the whole.
func boundedName(text string) string {
	if len(text) <= maxName {
		return text
	}
	hash := textHash(text)
	head := text[:maxName-len(hash)-len("… )")]
	for !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	return head + "… " + hash + ")"
}

func textHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
