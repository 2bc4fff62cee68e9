package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// results are what the runners and the broker say in the end.
type results struct {
	rate, write, clock runner.Counts
	dead               []broker.DeadLetter
	interrupted        bool
}

func (d *desk) opening(events int) error {
	_, err := fmt.Fprintf(d.out, "A week of earthquakes in %.0f seconds: %s events, and a summary every %.0f seconds.\n\n",
		replayTime.Seconds(), number(int64(events)), summary.Seconds())
	return err
}

// progress prints a line. The caller holds the mutex.
func (d *desk) progress() error {
	if d.quakes == 0 {
		_, err := fmt.Fprintln(d.out, "  no quake yet")
		return err
	}
	_, err := fmt.Fprintf(d.out, "  %s   %5s quakes   %2d alerts   strongest M %.1f, %s\n",
		clock(d.latest), number(int64(d.quakes)), len(d.alerts), d.strongest.Mag, d.strongest.Place)
	return err
}

// close prints what ran and checks it. The runners have ended.
func (d *desk) close(res results) error {
	if _, err := d.out.Write(d.report(res)); err != nil {
		return err
	}
	if res.interrupted {
		_, err := fmt.Fprintln(d.out, "\nInterrupted before the week was over.")
		return err
	}
	return d.check(res)
}

func (d *desk) report(res results) []byte {
	var b bytes.Buffer
	b.WriteString("\nWhat ran\n\n")
	line := func(flow string, received int64, unit string, outcomes map[eventflow.Outcome]int64) {
		fmt.Fprintf(&b, "  %-10s%5s %-6s = %s\n", flow, number(received), unit, sum(outcomes))
	}
	line("rate", res.rate.Received, "events", res.rate.Outcomes)
	line("write", res.write.Received, "events", res.write.Outcomes)
	line("summary", res.clock.Fires.Received, "fires", res.clock.Fires.Outcomes)

	fmt.Fprintf(&b, "\nAlerts: %d quakes of magnitude %.0f and more, times in UTC\n\n", len(d.alerts), strong)
	slices.SortFunc(d.alerts, func(a, b Alert) int { return a.Time.Compare(b.Time) })
	for _, a := range d.alerts {
		fmt.Fprintf(&b, "  %s   M %.1f   %s\n", clock(a.Time), a.Mag, a.Place)
	}

	if d.quakes > 0 {
		fmt.Fprintf(&b, "\nStrongest\n\n  %s   M %.1f   %s\n", clock(d.strongest.Time), d.strongest.Mag, d.strongest.Place)
	}

	for _, dl := range res.dead {
		fmt.Fprintf(&b, "\nDead letter\n\n  event    %s, attempt %d of flow %s\n  reason   %s\n  trigger  %s\n  payload  %s…\n",
			dl.Event.ID, dl.Attempts, dl.Flow, dl.Reason, dl.Binding, dl.Event.Data)
	}
	return b.Bytes()
}

// check compares the numbers with those of the week.
func (d *desk) check(res results) error {
	var errs []error
	want := func(what string, want, got int64) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s: %s, and must be %s", what, number(got), number(want)))
		}
	}
	want("events received by rate", 1708, res.rate.Received)
	want("events that rate succeeded with", 1707, res.rate.Outcomes[eventflow.Succeeded])
	want("events that rate dead-lettered", 1, res.rate.Outcomes[eventflow.DeadLettered])
	want("events received by write", 39, res.write.Received)
	want("events that write succeeded with", 39, res.write.Outcomes[eventflow.Succeeded])
	once := map[string]bool{}
	for _, a := range d.alerts {
		once[a.Quake] = true
	}
	want("alerts", 39, int64(len(d.alerts)))
	want("quakes alerted of", 39, int64(len(once)))
	want("dead letters", 1, int64(len(res.dead)))
	for _, dl := range res.dead {
		if dl.Event.ID != brokenID || dl.Reason != "decode" {
			errs = append(errs, fmt.Errorf("dead letter of event %q with reason %q: must be that of %q with reason decode", dl.Event.ID, dl.Reason, brokenID))
		}
	}
	if s := d.strongest; s.Mag != 6.4 || !strings.Contains(s.Place, "Hualian, Taiwan") {
		errs = append(errs, fmt.Errorf("strongest quake: M %.1f, %s, and must be M 6.4 near Hualian, Taiwan", s.Mag, s.Place))
	}
	if n := res.clock.Fires.Outcomes[eventflow.Succeeded]; n < 5 {
		errs = append(errs, fmt.Errorf("summaries: %d, and must be 5 or more", n))
	}
	if len(errs) > 0 {
		return fmt.Errorf("the numbers are off:\n%w", errors.Join(errs...))
	}
	return nil
}

// sum writes outcomes as a sum: "1,707 succeeded + 1 dead-lettered".
func sum(outcomes map[eventflow.Outcome]int64) string {
	var parts []string
	for o := eventflow.Succeeded; int(o) <= eventflow.Outcomes; o++ {
		if n := outcomes[o]; n > 0 {
			parts = append(parts, number(n)+" "+o.String())
		}
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, " + ")
}

// number writes n, which is not negative, with a comma between thousands.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clock writes a time of the week in a column of 16.
func clock(t time.Time) string { return t.UTC().Format("Mon _2 Jan 15:04") }
