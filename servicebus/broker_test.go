package servicebus_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/runner/runnertest"
	"github.com/eventflow-go/eventflow/servicebus"
)

// TestThePackageSaysWhatItIsExcusedFrom: the features and the table in the doc comment.
func TestThePackageSaysWhatItIsExcusedFrom(t *testing.T) {
	t.Parallel()
	b, err := servicebus.New(servicebus.Config{ConnectionString: "Endpoint=sb://n;SharedAccessKeyName=k;SharedAccessKey=v"})
	require.NoError(t, err)
	require.Equal(t, eventflow.Features{
		Lanes: true, ExactAttempt: true, DeadLetter: true, MaxNack: 24 * time.Hour, MaxLock: 5 * time.Minute, MaxEvent: 192 << 10,
	}, b.Features())
	rules := slices.Concat(brokertest.Rules(), runnertest.Rules())
	require.Len(t, excuses(), 22)
	for _, x := range excuses() {
		require.Contains(t, rules, x.rule)
	}
}

func TestQueuesKeepTheRulesOfBrokers(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, harness(queues))
}

func TestSubscriptionsKeepTheRulesOfBrokers(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, harness(subscriptions))
}

func TestSessionsKeepTheRulesOfBrokers(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, harness(sessions))
}
