package eventflow

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// clockText is the inside of a calendar clock's canonical text, cut up: "0 3 * * * Europe/Lisbon gap=skip" has five
// words, a zone and an option. The first thing that is wrong stays in err.
type clockText struct {
	clock   string // the constructor's name, for errors
	words   []string
	loc     *time.Location
	options map[string]string
	err     error
}

func cutClockText(clock, inside string) *clockText {
	c := &clockText{clock: clock, options: map[string]string{}}
	for rest := strings.TrimSpace(inside); rest != ""; rest = strings.TrimSpace(rest) {
		quoted, err := strconv.QuotedPrefix(rest) // only a zone is, and it may have spaces
		if err != nil {
			quoted = ""
		}
		n := len(quoted)
		if i := strings.IndexAny(rest[n:], " \t\r\n"); i >= 0 {
			n += i
		} else {
			n = len(rest)
		}
		c.words, rest = append(c.words, rest[:n]), rest[n:]
	}
	zone := len(c.words) - 1
	for ; zone >= 0; zone-- {
		key, value, found := strings.Cut(c.words[zone], "=")
		if !found || strings.HasPrefix(key, `"`) {
			break
		}
		if _, twice := c.options[key]; twice {
			c.fail(key, value, "once")
		}
		c.options[key] = value
	}
	if zone < 0 {
		c.fail("text", inside, "the clock's own words, a zone and perhaps options, as in 0 3 * * * Europe/Lisbon gap=skip")
		return c
	}
	loc, err := parseZone(clock+" location", c.words[zone])
	if err != nil && c.err == nil {
		c.err = err
	}
	c.words, c.loc = c.words[:zone], loc
	return c
}

func (c *clockText) fail(part, value, allowed string) {
	if c.err == nil {
		c.err = &ConfigError{Field: c.clock + " " + part, Value: value, Allowed: allowed}
	}
}

// option takes an option out of the text and gives the place of its value among the names.
func (c *clockText) option(key string, names []string, standard int) int {
	value, found := c.options[key]
	delete(c.options, key)
	if !found {
		return standard
	}
	i := slices.Index(names, value)
	if i < 0 {
		c.fail(key, value, "one of "+strings.Join(names, ", "))
	}
	return max(i, 0)
}

// dst takes the options gap and overlap.
func (c *clockText) dst(standard cron.DST) cron.DST {
	return cron.DST{
		Gap:     cron.Gap(c.option("gap", gapNames[:], int(standard.Gap))),
		Overlap: cron.Overlap(c.option("overlap", overlapNames[:], int(standard.Overlap))),
	}
}

// end gives what is wrong, an option that nobody took included.
func (c *clockText) end() error {
	for _, key := range slices.Sorted(maps.Keys(c.options)) {
		c.fail("option", key, "gap, overlap, and what else the clock has")
	}
	return c.err
}

// cutForm gives what stands between "name(" and ")".
func cutForm(name, text string) (inside string, ok bool) {
	text, ok = strings.CutPrefix(strings.TrimSpace(text), name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(text, ")")
}

// shorten keeps a value that cannot be short enough for an error.
func shorten(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
