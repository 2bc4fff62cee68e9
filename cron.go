package eventflow

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// CronClock fires when the wall clock of a zone agrees with a cron expression. It is immutable and safe for concurrent
// use; [CronClock.Next] allocates nothing. Make one with [Cron].
type CronClock struct {
	spec cron.Spec
	loc  *time.Location
	text string
	err  error
}

// Cron fires when the wall clock of loc agrees with the expression. It never fails by itself: [CronClock.Err] says
// everything that is wrong, and until that is mended nothing fires.
//
// The expression has five fields:
//
//	minute        0-59
//	hour          0-23
//	day of month  1-31
//	month         1-12 or JAN-DEC
//	day of week   0-7 or SUN-SAT; 0 and 7 are Sunday
//
// A field is "*", a value, a range, or a list of these with commas. Ranges may wrap: "22-2", "FRI-MON". After "*", a
// range, or a value that begins a range up to the field's last, "/n" takes every n-th: "*/15", "10-50/20", "5/15". A
// step that is larger than the number of values it steps through is refused: "*/90" would be "0", not every ninety
// minutes, which is [Every]. Names are three letters in any case. The macros are @hourly, @daily or @midnight, @weekly,
// @monthly, @yearly or @annually. Days that no month has, such as 30 February, are refused.
//
// When neither day field begins with "*", a day matches that matches either of them; else one that matches both: as in
// Vixie's cron, "0 0 1 * MON" is every first of a month and every Monday, and "0 0 */2 * MON" the Mondays with an odd
// day.
//
// The zone is loc, or the expression's own with a "TZ=Europe/Lisbon" or "CRON_TZ=Europe/Lisbon" in front, and then loc
// may be nil or the same. There is no default zone: for UTC say time.UTC. [time.Local] is refused, because it is
// another zone on another machine.
//
// When summer time begins or ends, Vixie's rule holds, for changes of any length. It knows two kinds of job. A wildcard
// job is one whose minute or hour field begins with "*" ("*/15 2 * * *", "0 * * * *", "0 */6 * * *"; but not
// "0-59 2 * * *"); it fires at every instant at which the clock shows a matching reading, so that an hourly job goes on
// hour by hour: readings that the clock jumps over do not run, those that it shows twice run twice. Any other job is a
// fixed-time job; each of its readings runs once, at the first instant at which the clock has reached or passed it: at
// the first instant after a gap when the clock jumps over it (several such run once), and the first time when the clock
// shows it twice.
func Cron(expr string, loc *time.Location) *CronClock {
	c := &CronClock{}
	zone, rest, prefixed := cron.CutZone(expr)
	spec, faults := cron.Parse(rest)
	var errs []error
	for _, f := range faults {
		errs = append(errs, cronError(f.Field, f.Value, f.Allowed, expr, f.Field != ""))
	}
	loc, err := cronLocation(loc, zone, prefixed)
	if err != nil {
		errs = append(errs, err)
	}
	switch len(errs) {
	case 0:
		c.spec, c.loc = spec, loc
		c.text = boundedName("cron(" + spec.String() + " " + zoneName(loc) + ")")
		return c
	case 1:
		c.err = errs[0]
	default:
		c.err = errors.Join(errs...)
	}
	c.text = boundedName("cron(" + strings.ToValidUTF8(expr, "\uFFFD") + ")")
	return c
}

// cronError is a fault of the expression; the expression is quoted when the fault does not show it.
func cronError(field, value, allowed, expr string, quote bool) *ConfigError {
	e := &ConfigError{Field: "eventflow.Cron", Value: value, Allowed: allowed}
	if field != "" {
		e.Field += " " + field
	}
	if quote {
		e.Allowed += "; in " + strconv.Quote(expr)
	}
	return e
}

const cronZones = `a *time.Location of the IANA database, such as time.LoadLocation("Europe/Lisbon") gives, or time.UTC if you mean UTC`

// cronLocation gives the one zone that is meant.
func cronLocation(loc *time.Location, zone string, prefixed bool) (*time.Location, error) {
	const field = "eventflow.Cron location"
	switch {
	case loc == nil && !prefixed:
		return nil, &ConfigError{Field: field, Value: "nil", Allowed: cronZones + "; or a CRON_TZ= in front of the expression"}
	case loc == time.Local, loc != nil && loc.String() == "Local", zone == "Local":
		return nil, &ConfigError{Field: field, Value: "time.Local", Allowed: cronZones + "; what Local is differs from machine to machine, so replicas would not agree"}
	case loc != nil && prefixed && loc.String() != zone:
		return nil, &ConfigError{Field: field, Value: loc.String(), Allowed: "nil or " + strconv.Quote(zone) + ", which the expression begins with"}
	case loc != nil:
		if name := loc.String(); !utf8.ValidString(name) || hasControl(name) {
			return nil, &ConfigError{Field: field, Value: name, Allowed: "a name of UTF-8 without control characters"}
		}
		return loc, nil
	case zone == "": // LoadLocation takes it for UTC
		return nil, &ConfigError{Field: "eventflow.Cron TZ=", Value: "", Allowed: "the name of a zone, such as TZ=Europe/Lisbon; TZ=UTC if you mean UTC"}
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, &ConfigError{Field: "eventflow.Cron TZ=", Value: zone, Allowed: `a zone of the IANA database, such as Europe/Lisbon; where the system has no database, import _ "time/tzdata"`}
	}
	return loc, nil
}

// zoneName tells zones apart. A zone of [time.FixedZone] says its offset too: its name is its maker's fancy.
func zoneName(loc *time.Location) string {
	t := time.Unix(0, 0).In(loc)
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	name := loc.String()
	if !start.IsZero() || !end.IsZero() || name != "" && offset == 0 || strings.HasPrefix(name, "Etc/") {
		return name
	}
	if offset%60 != 0 {
		return name + t.Format("-07:00:00")
	}
	return name + t.Format("-07:00")
}

// Next gives the first fire strictly after the instant, in the clock's zone; the zero time when the clock has an Err or
// the year 9999 ends before it. Instants before the year 1 count as its beginning. It is a function of its argument and
// of the zone's rules: replicas whose time zone databases differ may differ.
func (c *CronClock) Next(after time.Time) time.Time {
	if c.loc == nil {
		return time.Time{}
	}
	return c.spec.Next(after, c.loc)
}

// Err says what is wrong with the expression or its location, each a *[ConfigError] that names the field, its value and
// what is allowed, several of them joined; nil when nothing is.
func (c *CronClock) Err() error {
	if c.err == nil && c.loc == nil { // the zero CronClock
		return &ConfigError{Field: "eventflow.CronClock", Value: "", Allowed: "one made by eventflow.Cron"}
	}
	return c.err
}

// String gives the canonical text, the clock's name where it has no other: the expression in numbers and the zone, as
// in "cron(0 3 * * * Europe/Lisbon)". Clocks with the same text are the same. What is longer than 128 bytes is
// shortened, with a hash of the whole. A clock with an Err has no canonical text: its expression is shown.
func (c *CronClock) String() string {
	if c.text == "" {
		return "cron()"
	}
	return c.text
}
