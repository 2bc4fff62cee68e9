package cron

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCivilDatesAreThoseOfPackageTime(t *testing.T) {
	t.Parallel()
	check := func(day int64) {
		want := time.Unix(day*daySeconds, 0).UTC()
		year, month, dom := date(day)
		if int(year) != want.Year() || month != int(want.Month()) || dom != want.Day() || weekday(day) != int(want.Weekday()) {
			t.Fatalf("day %d is %v, not %d-%d-%d, weekday %d", day, want, year, month, dom, weekday(day))
		}
		first := dayOf(year, month)
		require.Equal(t, day-int64(dom-1), first)
		if last := want.AddDate(0, 1, -dom).Day(); daysIn(year, month) != last {
			t.Fatalf("%v has %d days, not %d", want.Format("2006-01"), last, daysIn(year, month))
		}
	}
	from, to := dayOf(1890, 1), dayOf(2420, 1)
	for day := from; day < to; day++ {
		check(day)
	}
	for day := dayOf(-4, 1); day < dayOf(10001, 1); day += 97 {
		check(day)
	}
}
