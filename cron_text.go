package eventflow

import (
	"strings"

	"github.com/eventflow-go/eventflow/internal/cron"
)

var dayRules = []string{"either", "both"}

func appendCronOptions(b []byte, bothDays bool, d cron.DST) []byte {
	if bothDays {
		b = append(b, " days=both"...)
	}
	return appendDST(b, d, cron.DST{})
}

// parseCron reads what stands between "cron(" and ")".
func parseCron(inside string) (*CronClock, error) {
	t := cutClockText(cronName, inside)
	d := t.dst(cron.DST{})
	days := DayRule(t.option("days", dayRules, 0))
	if err := t.end(); err != nil {
		return nil, err
	}
	c := Cron(strings.Join(t.words, " "), t.loc, Gap(d.Gap), Overlap(d.Overlap), days)
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// MarshalText gives the whole canonical text, which [CronClock.UnmarshalText] reads back to an equal clock, where the
// same zone is found under the same name. A clock with an Err has none.
func (c *CronClock) MarshalText() ([]byte, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	return []byte(c.text), nil
}

// UnmarshalText reads a canonical text, in any spelling of the expression, so that a clock may stand in a configuration
// file. It is for a new CronClock: it must not be called on one that is in use. An error leaves the clock as it was.
func (c *CronClock) UnmarshalText(text []byte) error {
	inside, ok := cutForm("cron", string(text))
	if !ok {
		return &ConfigError{Field: "eventflow.CronClock", Value: shorten(string(text)), Allowed: "a text such as cron(0 3 * * * Europe/Lisbon)"}
	}
	parsed, err := parseCron(inside)
	if err != nil {
		return err
	}
	*c = *parsed
	return nil
}
