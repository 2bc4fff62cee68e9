//go:build race

package cron_test

// raceScale divides the samples that are compared with the oracle. What they compare is the same without the race
// detector, which looks for other things and takes ten times as long.
const raceScale = 4
