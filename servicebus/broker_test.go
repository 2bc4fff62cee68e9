package servicebus_test

import (
	"fmt"
	"os"
	"regexp"
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
	f := b.Features()
	require.Equal(t, fmt.Sprintf("Lanes %t with Sessions, Groups %t, ExactAttempt %t, DeadLetter %t, MaxNack %.0fh, MaxLock %.0fm, MaxEvent %d KiB",
		f.Lanes, f.Groups, f.ExactAttempt, f.DeadLetter, f.MaxNack.Hours(), f.MaxLock.Minutes(), f.MaxEvent>>10), said(t))
	rules := slices.Concat(brokertest.Rules(), runnertest.Rules())
	require.Len(t, excuses(), 23)
	for _, x := range excuses() {
		require.Contains(t, rules, x.rule)
	}
}

// said is what the doc comment says of the features.
func said(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^//\t(Lanes .*)$`).FindSubmatch(doc)
	require.NotNil(t, m)
	return string(m[1])
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
