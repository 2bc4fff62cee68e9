package sqs_test

import (
	"testing"

	"github.com/eventflow-go/eventflow/runner/runnertest"
)

func runnerStandardExcuses() map[string]string {
	return all(unordered, "UnwritableDeadLetterHoldsItsLane", "ReceiveLimitBuriesNoNeighbour", "LaneKeepsItsOrder",
		"LaneKeepsItsOrderAcrossRestarts", "SlowLaneDelaysNoOther")
}

func TestRunnerOnAStandardQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnertest.Harness{Broker: harness(false, true), Excused: runnerStandardExcuses()})
}

func TestRunnerOnAFIFOQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnertest.Harness{Broker: harness(true, true)})
}
