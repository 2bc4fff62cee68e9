package servicebus_test

import (
	"testing"

	"github.com/eventflow-go/eventflow/runner/runnertest"
)

func runnerHarness(k kind) runnertest.Harness {
	return runnertest.Harness{Broker: harness(k), Backlog: 2_000, Excused: excused(k, runnertest.Rules())}
}

func TestQueuesKeepTheRunnersPromises(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnerHarness(queues))
}

func TestSubscriptionsKeepTheRunnersPromises(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnerHarness(subscriptions))
}

func TestSessionsKeepTheRunnersPromises(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnerHarness(sessions))
}
