package sqs_test

import (
	"testing"

	"github.com/eventflow-go/eventflow/runner/runnertest"
)

func TestRunnerOnAStandardQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnertest.Harness{
		Broker: harness(false, true),
		Excused: all(unordered, "UnwritableDeadLetterHoldsItsLane", "ReceiveLimitBuriesNoNeighbour", "LaneKeepsItsOrder",
			"LaneKeepsItsOrderAcrossRestarts", "SlowLaneDelaysNoOther"),
	})
}

func TestRunnerOnAFIFOQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnertest.Harness{
		Broker: harness(true, true),
		// The rule counts what is settled as held until the queue has confirmed it; Want.PerLane bounds what is unsettled.
		Excused: all("a settlement makes room in its lane before it is confirmed", "MaxPerLaneBoundsWhatIsHeld"),
	})
}
