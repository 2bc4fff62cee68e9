//go:build !race

package cron_test

// raceScale divides the samples that are compared with the oracle, see race_on_test.go.
const raceScale = 1
