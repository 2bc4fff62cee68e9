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
	dst  cron.DST
	loc  *time.Location
	text string
	err  error
}

// CronOption is an option of [Cron]: a [DayRule] or any [CalendarOption].
type CronOption interface{ applyCron(c *cronConfig) }

type cronConfig struct {
	dst  cron.DST
	days DayRule
}

// DayRule says which days a cron expression means whose two day fields are both set. It is an option of [Cron].
type DayRule uint8

const (
	// EitherDay is Vixie's rule, the default: a day that matches either field, unless one of them begins with "*"; then
	// one that matches both.
	EitherDay DayRule = iota
	// BothDays is a day that matches both fields: "0 0 1-7 * TUE" is then the first Tuesday of a month.
	BothDays
)

func (d DayRule) applyCron(c *cronConfig) { c.days = d }

// Cron fires when the wall clock of loc agrees with the expression. It never fails by itself: [CronClock.Err] says
// everything that is wrong, and until that is mended nothing fires.
//
// The expression has five fields, or six with a second in front:
//
//	second        0-59, in the sixth field from the right; 0 without one
//	minute        0-59
//	hour          0-23
//	day of month  1-31, L, L-1 to L-30, LW, 1W to 31W
//	month         1-12 or JAN-DEC
//	day of week   0-7 or SUN-SAT, 0 and 7 are Sunday; FRI#1 to FRI#5, FRIL
//
// A field is "*", a value, a range, or a list of these with commas. Ranges may wrap: "22-2", "FRI-MON". After "*", a
// range, or a value that begins a range up to the field's last, "/n" takes every n-th: "*/15", "10-50/20", "5/15". A
// step that is larger than the number of values it steps through is refused: "*/90" would be "0", not every ninety
// minutes, which is [Every]. Names are three letters in any case. The macros are @hourly, @daily or @midnight, @weekly,
// @monthly, @yearly or @annually.
//
// Of the days, L is the month's last and L-2 the second before it; 15W is the day from Monday to Friday that is nearest
// to the 15th and in its month, LW the last such day. 5#2 or FRI#2 is the second Friday, 5L or FRIL the last one. A month
// without such a day is passed over: "0 0 31 * *" and "0 0 * * FRI#5" do not run every month. What no month has, such as
// 30 February, is refused.
//
// When neither day field begins with "*", a day matches that matches either of them; else one that matches both: as in
// Vixie's cron, "0 0 1 * MON" is every first of a month and every Monday, and "0 0 */2 * MON" the Mondays with an odd
// day. [BothDays] asks for both.
//
// The zone is loc, or the expression's own with a "TZ=Europe/Lisbon" or "CRON_TZ=Europe/Lisbon" in front, and then loc
// may be nil or the same. There is no default zone: for UTC say time.UTC. [time.Local] is refused, because it is
// another zone on another machine. A zone in the expression is looked up once, here, with [time.LoadLocation].
//
// When summer time begins or ends, Vixie's rule holds, for changes of any length. It knows two kinds of job. A wildcard
// job is one whose second, minute or hour field begins with "*" ("*/15 2 * * *", "0 * * * *", "0 */6 * * *"; but not
// "0-59 2 * * *"); it fires at every instant at which the clock shows a matching reading, so that an hourly job goes on
// hour by hour: readings that the clock jumps over do not run, those that it shows twice run twice. Any other job is a
// fixed-time job; each of its readings runs once, at the first instant at which the clock has reached or passed it: at
// the first instant after a gap when the clock jumps over it (several such run once), and the first time when the clock
// shows it twice. The options [Gap], [Overlap] and [DST] choose another rule; a side that they name holds for every
// reading, whichever kind the job is.
func Cron(expr string, loc *time.Location, opts ...CronOption) *CronClock {
	c := &CronClock{}
	var config cronConfig
	var errs []error
	for i, o := range opts {
		if o == nil {
			errs = append(errs, nilOption(cronName, i))
			continue
		}
		o.applyCron(&config)
	}
	if err := checkDST(cronName, config.dst); err != nil {
		errs = append(errs, err)
	}
	if config.days > BothDays {
		errs = append(errs, &ConfigError{Field: cronName + " days", Value: strconv.Itoa(int(config.days)), Allowed: "EitherDay or BothDays"})
	}
	zone, rest, prefixed := cron.CutZone(expr)
	spec, faults := cron.Parse(rest, config.days == BothDays)
	for _, f := range faults {
		errs = append(errs, cronError(f, expr, len(expr)-len(rest)+f.At))
	}
	loc, err := cronLocation(loc, zone, prefixed)
	if err != nil {
		errs = append(errs, err)
	}
	switch len(errs) {
	case 0:
		c.spec, c.loc, c.dst = spec, loc, config.dst
		c.text = "cron(" + spec.String() + " " + zoneName(loc) + string(appendCronOptions(nil, spec.BothDays(), config.dst)) + ")"
		return c
	case 1:
		c.err = errs[0]
	default:
		c.err = errors.Join(errs...)
	}
	c.text = "cron(" + strings.ToValidUTF8(expr, "\uFFFD") + ")"
	return c
}

const cronName = "eventflow.Cron"

// cronError is a fault of the expression, which is quoted with the place when the fault does not show it whole.
func cronError(f cron.Fault, expr string, at int) *ConfigError {
	e := &ConfigError{Field: cronName, Value: f.Value, Allowed: f.Allowed}
	if f.Field != "" {
		e.Field += " " + f.Field
		e.Allowed += "; at character " + strconv.Itoa(utf8.RuneCountInString(expr[:at])+1) + " in " + strconv.Quote(expr)
	}
	return e
}

// cronLocation gives the one zone that is meant.
func cronLocation(loc *time.Location, zone string, prefixed bool) (*time.Location, error) {
	const field = cronName + " location"
	switch {
	case zone == "Local":
		return nil, checkZone(cronName, time.Local, "")
	case loc == nil && prefixed:
		return loadZone(cronName+" TZ=", zone)
	}
	if err := checkZone(cronName, loc, "; or a CRON_TZ= in front of the expression"); err != nil {
		return nil, err
	}
	if prefixed && loc.String() != zone {
		return nil, &ConfigError{Field: field, Value: loc.String(), Allowed: "nil or " + strconv.Quote(zone) + ", which the expression begins with"}
	}
	return loc, nil
}

// Next gives the first fire strictly after the instant, in the clock's zone; the zero time when the clock has an Err or
// the year 9999 ends before it. Instants before the year 1 count as its beginning. It is a function of its argument and
// of the zone's rules: replicas whose time zone databases differ may differ.
func (c *CronClock) Next(after time.Time) time.Time {
	if c.loc == nil {
		return time.Time{}
	}
	return c.spec.Next(after, c.loc, c.dst)
}

// calendar gives what a preview walks; loc is nil when the clock has an Err.
func (c *CronClock) calendar() (r cron.Readings, d cron.DST, loc *time.Location) {
	return &c.spec, c.dst.For(c.spec.Wildcard()), c.loc
}

// Err says what is wrong with the expression, its location or an option, each a *[ConfigError] that names the field, its
// value and what is allowed, several of them joined; nil when nothing is.
func (c *CronClock) Err() error {
	if c.err == nil && c.loc == nil { // the zero CronClock
		return &ConfigError{Field: "eventflow.CronClock", Value: "", Allowed: "one made by eventflow.Cron"}
	}
	return c.err
}

// String gives the clock's name where it has no other: the canonical text, which is the expression in numbers, the zone,
// and what is not the default of the options, as in "cron(0 3 * * * Europe/Lisbon)" and "cron(0 0 1-7 * 2 Asia/Tokyo
// days=both gap=skip)". Clocks with the same name are the same. What is longer than 128 bytes is shortened, with a hash of
// the whole; [CronClock.MarshalText] gives all of it. A clock with an Err has no canonical text: its expression is shown.
func (c *CronClock) String() string {
	if c.text == "" {
		return "cron()"
	}
	return boundedName(c.text)
}
