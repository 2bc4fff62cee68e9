//go:build race

package runner_test

// raceScale divides the sizes of tests that measure, as the race detector makes everything ten times slower.
const raceScale = 10
