package cron

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
)

func TestPeriodsCoverTimeWithoutAHoleAndKeepTheirOffset(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"UTC", "America/New_York", "Europe/Lisbon", "Europe/Dublin", "America/Santiago", "Australia/Lord_Howe",
		"Africa/Casablanca", "America/Nuuk", "America/Metlakatla", "Pacific/Apia", "Asia/Gaza",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(name)
			require.NoError(t, err)
			offset := func(sec int64) int64 { _, o := time.Unix(sec, 0).In(loc).Zone(); return int64(o) }

			at, end, periods := dayOf(1850, 1)*daySeconds, dayOf(2200, 1)*daySeconds, 0
			for at < end {
				p := periodAt(at, loc)
				if p.end <= at {
					t.Fatalf("the period of %v ends at %v", time.Unix(at, 0).UTC(), time.Unix(p.end, 0).UTC())
				}
				for probe := at; probe < min(p.end, end); probe += 7*daySeconds + 3661 {
					require.Equal(t, p.offset, offset(probe), "at %v", time.Unix(probe, 0).UTC())
				}
				require.Equal(t, p.offset, offset(min(p.end, end)-1), "before %v", time.Unix(p.end, 0).UTC())
				at = p.end
				periods++
			}
			require.Less(t, periods, 2000)
		})
	}
}

func TestThePeriodOfALeapYearsLastDayEndsLater(t *testing.T) {
	t.Parallel()
	loc, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for y := 2040; y <= 2104; y += 4 {
		noon := time.Date(y, 12, 31, 12, 0, 0, 0, time.UTC).Unix()
		require.Greater(t, periodAt(noon, loc).end, noon)
	}
}
