//go:build !race

package runner_test

// raceScale divides the sizes of tests that measure, see race_on_test.go.
const raceScale = 1
