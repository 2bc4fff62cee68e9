package kafka_test

import (
	"maps"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner/runnertest"
)

// runnerExcused are the rules of runnertest that Kafka does not keep, whatever the mode.
var runnerExcused = map[string]string{
	"RedrivenEventRunsAgain":                    "Kafka has no redrive",
	"ReceiveLimitBuriesNoNeighbour":             "Kafka counts no hand-overs",
	"ReceiveLimitBelowTheAttemptsFailsTheStart": "Kafka counts no hand-overs",
	"LostLockCancelsTheRunAndFencesIt":          "a lock is the membership in the group: no broker takes it of one event alone",
	"ReplicasRunEachFireOnce":                   "asked with skewed clocks, which take as long",
}

func (x setting) runner() runnertest.Harness {
	h := runnertest.Harness{Broker: x.harness(), Soon: 5 * time.Second, Lease: 5 * time.Second, Excused: maps.Clone(runnerExcused)}
	if x.mode == kafka.Unordered {
		for _, name := range []string{"LaneKeepsItsOrder", "LaneKeepsItsOrderAcrossRestarts", "SlowLaneDelaysNoOther", "MaxPerLaneBoundsWhatIsHeld"} {
			h.Excused[name] = "the mode has no lanes"
		}
	}
	return h
}

func TestRunnerOnPartitionLanes(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, setting{mode: kafka.PartitionLanes}.runner())
}

func TestRunnerOnKeyLanes(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, setting{mode: kafka.KeyLanes}.runner())
}

func TestRunnerOnUnordered(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, setting{mode: kafka.Unordered}.runner())
}

func TestRunnerOnServerSideBalancer(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, setting{mode: kafka.PartitionLanes, kip848: true}.runner())
}
