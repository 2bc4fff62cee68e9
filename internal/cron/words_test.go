package cron_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// The words leave nothing out: whatever is told alike fires alike.
func TestExpressionsWithTheSameWordsFireAlike(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(20260405, 3))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	first := map[string]cron.Spec{}
	alike := 0
	for range 12_000 / raceScale {
		expr := fmt.Sprintf("%s %s %s %s %s %s",
			pick("0", "0", "30", "*/30", "0-29", "0,30", "*"),
			pick("0", "*", "*/15", "0,15,30,45", "5", "7-10", "*/7", "58-1", "0-59"),
			pick("*", "0", "0-23", "9-17", "*/6", "0,6,12,18", "22-2", "3", "1,3,9"),
			pick("*", "1-31", "1", "L", "L-1", "15W", "LW", "1-7", "29", "*/2", "1-31/2", "28-3"),
			pick("*", "1-12", "2", "1,7", "NOV-FEB", "*/2", "1-11/2", "3-5"),
			pick("*", "0-6", "1", "1-5", "FRI#2", "5L", "SAT-MON", "0,6,1", "*/2", "0,2,4,6", "1#1"),
		)
		both := rnd.IntN(2) == 0
		s, faults := cron.Parse(expr, both)
		if faults != nil {
			continue // never both
		}
		other, seen := first[s.Words()]
		if !seen {
			first[s.Words()] = s
			continue
		}
		alike++
		require.Equal(t, someFires(&s), someFires(&other), "%s (both %v) and %s: %s", expr, both, other.String(), s.Words())
	}
	require.Greater(t, alike, 100/raceScale)
}

// someFires gives a few fires after each of some instants.
func someFires(s *cron.Spec) (fires []time.Time) {
	for at := year(2024); at.Before(year(2026)); at = at.Add(41*time.Hour + 13*time.Minute) {
		next := at
		for range 3 {
			next = s.Next(next, time.UTC, cron.DST{Gap: cron.GapSkip, Overlap: cron.OverlapBoth})
			fires = append(fires, next)
		}
	}
	return slices.Compact(fires)
}
