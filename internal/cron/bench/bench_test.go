package bench

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
	_ "time/tzdata"

	"github.com/aptible/supercronic/cronexpr"
	robfig "github.com/robfig/cron/v3"

	"github.com/eventflow-go/eventflow"
)

var ratios = flag.Bool("ratios", false, "print the table of ratios; takes a minute")

// cases are asked for the first fire after an instant, in a zone with summer time. Where another library gives another
// fire (it does, at changes of offset), its time is that of a wrong answer.
var cases = []struct{ name, expr, zone, after string }{
	{"minutely", "* * * * *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"every 5 minutes", "*/5 * * * *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"hourly", "0 * * * *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"office hours", "*/15 9-17 * * MON-FRI", "America/New_York", "2026-06-10T12:00:30Z"},
	{"daily", "0 3 * * *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"daily in UTC", "0 3 * * *", "UTC", "2026-06-10T12:00:30Z"},
	{"weekly", "30 9 * * MON", "America/New_York", "2026-06-10T12:00:30Z"},
	{"monthly", "0 0 1 * *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"either day", "0 0 13 * FRI", "America/New_York", "2026-06-14T12:00:30Z"},
	{"yearly", "0 0 1 1 *", "America/New_York", "2026-06-10T12:00:30Z"},
	{"yearly, just missed", "0 0 1 1 *", "America/New_York", "2026-01-01T12:00:30Z"},
	{"29 February", "0 0 29 2 *", "America/New_York", "2024-03-01T12:00:30Z"},
	{"31 December at Lord Howe", "59 23 31 12 *", "Australia/Lord_Howe", "2026-01-01T12:00:30Z"},
	{"into a gap", "30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z"},
	{"into an overlap", "30 1 * * *", "America/New_York", "2026-11-01T05:45:00Z"},
	{"a computed year", "0 3 * * *", "America/New_York", "2048-06-10T12:00:30Z"},
	{"a computed year, yearly", "0 0 1 1 *", "America/New_York", "2048-06-10T12:00:30Z"},
}

type clock interface {
	Next(after time.Time) time.Time
}

type library struct {
	name  string
	parse func(expr string, loc *time.Location) (clock, error)
}

// located asks a clock that takes its zone from its argument.
type located struct {
	*cronexpr.Expression
	loc *time.Location
}

func (c located) Next(after time.Time) time.Time { return c.Expression.Next(after.In(c.loc)) }

type robfigIn struct {
	robfig.Schedule
	loc *time.Location
}

func (c robfigIn) Next(after time.Time) time.Time { return c.Schedule.Next(after.In(c.loc)) }

var libraries = []library{
	{"eventflow", func(expr string, loc *time.Location) (clock, error) {
		c := eventflow.Cron(expr, loc)
		return c, c.Err()
	}},
	{"robfig", func(expr string, loc *time.Location) (clock, error) {
		s, err := robfig.ParseStandard(expr)
		return robfigIn{s, loc}, err
	}},
	{"supercronic", func(expr string, loc *time.Location) (clock, error) {
		e, err := cronexpr.Parse(expr)
		return located{e, loc}, err
	}},
}

func each(tb testing.TB, do func(name string, after time.Time, clocks []clock)) {
	tb.Helper()
	for _, c := range cases {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			tb.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			tb.Fatal(err)
		}
		var clocks []clock
		for _, l := range libraries {
			parsed, err := l.parse(c.expr, loc)
			if err != nil {
				tb.Fatal(l.name, err)
			}
			clocks = append(clocks, parsed)
		}
		do(c.name, after, clocks)
	}
}

func BenchmarkNext(b *testing.B) {
	each(b, func(name string, after time.Time, clocks []clock) {
		for i, c := range clocks {
			b.Run(strings.ReplaceAll(name, " ", "-")+"/"+libraries[i].name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.Next(after)
				}
			})
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, l := range libraries {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.parse("*/15 9-17 * * MON-FRI", time.UTC); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRatios prints the median of alternating runs, and each other library's as a multiple of ours. It fails where ours
// is slower than robfig's.
func TestRatios(t *testing.T) {
	if !*ratios {
		t.Skip("-ratios is not given")
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Next\teventflow\tallocs\trobfig\t\tsupercronic\t")
	each(t, func(name string, after time.Time, clocks []clock) {
		ns := medians(len(clocks), func(i, n int) {
			for range n {
				clocks[i].Next(after)
			}
		})
		allocs := testing.AllocsPerRun(100, func() { clocks[0].Next(after) })
		fmt.Fprintf(w, "%s\t%.0f ns\t%.0f\t%.0f ns\t×%.1f\t%.0f ns\t×%.1f\n", name, ns[0], allocs, ns[1], ns[1]/ns[0], ns[2], ns[2]/ns[0])
		if ns[1] < ns[0] {
			t.Errorf("%s: %.0f ns is slower than robfig's %.0f ns", name, ns[0], ns[1])
		}
	})
	ns := medians(len(libraries), func(i, n int) {
		for range n {
			if _, err := libraries[i].parse("*/15 9-17 * * MON-FRI", time.UTC); err != nil {
				t.Error(err)
			}
		}
	})
	fmt.Fprintf(w, "parse\t%.0f ns\t\t%.0f ns\t×%.1f\t%.0f ns\t×%.1f\n", ns[0], ns[1], ns[1]/ns[0], ns[2], ns[2]/ns[0])
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

// medians gives the median nanoseconds of one call for each of several things, which take turns.
func medians(things int, do func(i, n int)) []float64 {
	const turns, atLeast = 9, 5 * time.Millisecond
	calls := make([]int, things)
	for i := range calls {
		n := 1
		for start := time.Now(); ; start = time.Now() {
			do(i, n)
			if took := time.Since(start); took >= atLeast {
				break
			}
			n *= 2
		}
		calls[i] = n
	}
	runs := make([][]float64, things)
	for range turns {
		for i, n := range calls {
			start := time.Now()
			do(i, n)
			runs[i] = append(runs[i], float64(time.Since(start))/float64(n))
		}
	}
	ns := make([]float64, things)
	for i := range runs {
		slices.SortFunc(runs[i], cmp.Compare[float64])
		ns[i] = runs[i][turns/2]
	}
	return ns
}
