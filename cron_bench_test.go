package eventflow_test

import (
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
)

func BenchmarkCronNext(b *testing.B) {
	for _, bm := range []struct {
		name, expr, after string
		opts              []eventflow.CronOption
	}{
		{"minutely", "* * * * *", "2026-06-10T12:00:30Z", nil},
		{"daily", "0 3 * * *", "2026-06-10T12:00:30Z", nil},
		{"weekly", "30 9 * * MON", "2026-06-10T12:00:30Z", nil},
		{"monthly", "0 0 1 * *", "2026-06-10T12:00:30Z", nil},
		{"yearly", "0 0 1 1 *", "2026-06-10T12:00:30Z", nil},
		{"leap", "0 0 29 2 *", "2096-03-01T12:00:30Z", nil},
		{"gap", "30 2 * * *", "2026-03-08T05:00:00Z", nil},
		{"overlap", "30 1 * * *", "2026-11-01T05:45:00Z", nil},
		{"computed-future", "0 3 * * *", "2048-06-10T12:00:30Z", nil},
		{"secondly", "* * * * * *", "2026-06-10T12:00:30Z", nil},
		{"last-weekday", "0 9 LW * *", "2026-06-30T12:00:30Z", nil},
		{"first-tuesday", "0 9 1-7 * TUE", "2026-06-10T12:00:30Z", []eventflow.CronOption{eventflow.BothDays}},
		{"every-40-years", "0 0 29 2 MON", "2072-03-01T12:00:30Z", []eventflow.CronOption{eventflow.BothDays}},
		{"shifted", "30 2 * * *", "2026-03-08T05:00:00Z", []eventflow.CronOption{eventflow.RFC5545}},
		{"last-of-two", "30 1 * * *", "2026-11-01T04:45:00Z", []eventflow.CronOption{eventflow.OverlapLast}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c, after := eventflow.Cron(bm.expr, newYork, bm.opts...), at(bm.after)
			if c.Err() != nil || c.Next(after).IsZero() {
				b.Fatal(c, c.Err())
			}
			b.ReportAllocs()
			for b.Loop() {
				c.Next(after)
			}
		})
	}
}

func BenchmarkCronParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if c := eventflow.Cron("*/15 9-17 * * MON-FRI", newYork); c.Err() != nil {
			b.Fatal(c.Err())
		}
	}
}

func BenchmarkCalendarNext(b *testing.B) {
	after := at("2026-06-10T12:00:30Z")
	for name, c := range map[string]*eventflow.CalendarClock{
		"days": eventflow.EveryDays(3, newYork).At(9, 30), "months": eventflow.EveryMonths(1, newYork).From(2026, time.January, 31),
		"leap-days": eventflow.EveryYears(1, newYork).From(2024, time.February, 29).SkipShortMonths(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Next(after)
			}
		})
	}
}

func BenchmarkEveryNext(b *testing.B) {
	c, after := eventflow.Every(90*time.Minute).Phase(time.Minute), at("2026-06-10T12:00:30Z")
	b.ReportAllocs()
	for b.Loop() {
		c.Next(after)
	}
}

func BenchmarkDatesNext(b *testing.B) {
	ts := make([]time.Time, 10_000)
	for i := range ts {
		ts[i] = at("2026-01-01T00:00:00Z").Add(time.Duration(i) * time.Hour)
	}
	c, after := eventflow.Dates(ts...), at("2026-06-10T12:00:30Z")
	b.ReportAllocs()
	for b.Loop() {
		c.Next(after)
	}
}
