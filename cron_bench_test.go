package eventflow_test

import (
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
)

func BenchmarkCronNext(b *testing.B) {
	for _, bm := range []struct{ name, expr, after string }{
		{"minutely", "* * * * *", "2026-06-10T12:00:30Z"},
		{"daily", "0 3 * * *", "2026-06-10T12:00:30Z"},
		{"weekly", "30 9 * * MON", "2026-06-10T12:00:30Z"},
		{"monthly", "0 0 1 * *", "2026-06-10T12:00:30Z"},
		{"yearly", "0 0 1 1 *", "2026-06-10T12:00:30Z"},
		{"leap", "0 0 29 2 *", "2096-03-01T12:00:30Z"},
		{"gap", "30 2 * * *", "2026-03-08T05:00:00Z"},
		{"overlap", "30 1 * * *", "2026-11-01T05:45:00Z"},
		{"computed-future", "0 3 * * *", "2048-06-10T12:00:30Z"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c, after := eventflow.Cron(bm.expr, newYork), at(bm.after)
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
