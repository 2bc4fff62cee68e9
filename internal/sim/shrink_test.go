package sim

import (
	"runtime"
	"slices"
	"testing"
)

// shrinkPlays bounds what shrinking costs.
const shrinkPlays = 1500

// shrink gives the smallest script it finds that still breaks the rule, nil when the script itself does not within
// -sim.times plays, and how often it played.
func shrink(t *testing.T, s *script, r rule) (small *script, plays int) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	fails := func(c *script, times int) bool {
		for range times {
			plays++
			if slices.ContainsFunc(play(t, c).bad, func(b breach) bool { return b.Rule == r }) {
				return true
			}
		}
		return false
	}
	if !fails(s, *times) {
		return nil, plays
	}
	often := min(max(3*plays, 2), 40) // as rare as it is
	small = s
	try := func(c *script) bool {
		if plays > shrinkPlays || !fails(c, often) {
			return false
		}
		small = c
		return true
	}
	for n := -1; n != len(small.Faults)+len(small.Events)+small.Slots && plays <= shrinkPlays; {
		n = len(small.Faults) + len(small.Events) + small.Slots
		for fewer := true; fewer && small.Slots > 1; {
			fewer = try(small.fewerSlots())
		}
		halve(len(small.Events), func(from, to int) bool { return try(small.without([2]int{from, to}, [2]int{})) })
		halve(len(small.Faults), func(from, to int) bool { return try(small.without([2]int{}, [2]int{from, to})) })
	}
	return small, plays
}

// halve offers ever smaller parts of n elements, from the end, to be taken out.
func halve(n int, out func(from, to int) bool) {
	for size := n; size > 0; size /= 2 {
		for to := n; to > 0; to -= size {
			if from := max(to-size, 0); out(from, to) {
				n -= to - from
			}
		}
	}
}
