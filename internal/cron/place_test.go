package cron_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// once is the set of a single reading.
type once int64

func (o once) Reading(w int64) (int64, bool) { return int64(o), w <= int64(o) }

func TestAPlaceIsWhereTheClockShowsTheReading(t *testing.T) {
	t.Parallel()
	for zone, at := range map[string]time.Time{
		"America/New_York":    time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC),
		"Europe/Lisbon":       time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC),
		"Pacific/Apia":        time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC),
		"Pacific/Kwajalein":   time.Date(1969, 9, 30, 13, 0, 0, 0, time.UTC),
		"UTC":                 year(2026),
	} {
		loc := mustLoad(t, zone)
		ws := walk(loc, at.Add(-60*time.Hour), at.Add(60*time.Hour), 15*time.Minute)
		all := &oracle{} // its hits are all there are
		for _, d := range pairs() {
			want := map[int64][]int64{}
			add := func(r reading, h hits) {
				for _, f := range all.fires(ws, h, d) {
					if !slices.Contains(want[r.w], f) {
						want[r.w] = append(want[r.w], f)
					}
				}
			}
			for _, r := range ws.shown {
				add(r, hits{shown: []reading{r}})
			}
			for _, r := range ws.lost {
				add(r, hits{lost: []reading{r}})
			}
			require.NotEmpty(t, want)
			// Readings near the walk's ends are cut off.
			for w := at.Add(-20 * time.Hour).Unix(); w < at.Add(20*time.Hour).Unix(); w += 900 {
				local := w + int64(offsetAt(loc, at.Add(-48*time.Hour)))
				places, n := cron.Place(local, d, loc)
				require.Equal(t, want[local], append([]int64(nil), places[:n]...), "%s: %v under %v", zone, time.Unix(local, 0).UTC(), d)

				var next []int64
				for a := at.Add(-72 * time.Hour); ; {
					if a = cron.Next(once(local), d, a, loc); a.IsZero() {
						break
					}
					next = append(next, a.Unix())
				}
				require.Equal(t, want[local], next, "%s: Next agrees with Place on %v under %v", zone, time.Unix(local, 0).UTC(), d)
			}
		}
	}
}

func offsetAt(loc *time.Location, t time.Time) int { _, o := t.In(loc).Zone(); return o }

func TestChangesAreThoseOfAWalk(t *testing.T) {
	t.Parallel()
	for _, zone := range oracleZones {
		loc := mustLoad(t, zone)
		from, to := year(2000), year(2041)
		var got []time.Time
		for c := range cron.Changes(loc, from, to) {
			at := time.Unix(c.At, 0).UTC()
			got = append(got, at)
			require.Equal(t, int64(offsetAt(loc, at.Add(-1))), c.Before)
			require.Equal(t, int64(offsetAt(loc, at)), c.After)
			lost, lostEnd := c.Lost()
			twice, twiceEnd := c.Twice()
			require.Equal(t, max(0, c.After-c.Before), lostEnd-lost)
			require.Equal(t, max(0, c.Before-c.After), twiceEnd-twice)
			near := func(from, to time.Time) int {
				return len(slices.Collect(cron.Changes(loc, from, to)))
			}
			require.Equal(t, [4]int{1, 0, 0, 1}, [4]int{near(at, at.Add(time.Second)), near(at.Add(1), at.Add(time.Hour)), near(at.Add(-time.Hour), at), near(at.Add(-time.Hour), at.Add(1))})
		}
		want := transitions(loc, from, to)
		require.Len(t, got, len(want), zone)
		for i := range want {
			require.True(t, want[i].Equal(got[i]), "%s: %v", zone, want[i])
		}
	}
}

// The engine decides a reading by the changes within two days of it, as if there were one: in no zone are two changes
// nearer, nor is a jump longer than the time to the next change.
func TestChangesLieMoreThanTwoDaysApart(t *testing.T) {
	t.Parallel()
	for _, zone := range oracleZones {
		loc := mustLoad(t, zone)
		before := year(1960)
		for c := range cron.Changes(loc, before, year(2105)) {
			at := time.Unix(c.At, 0)
			require.Greater(t, at.Sub(before), 48*time.Hour, "%s: %v", zone, at)
			before = at
		}
	}
}
