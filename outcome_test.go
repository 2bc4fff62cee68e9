package eventflow_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestOutcomesHaveNamesAndAnEnd(t *testing.T) {
	t.Parallel()
	var counts [eventflow.Outcomes + 1]int
	for _, c := range []struct {
		outcome eventflow.Outcome
		name    string
		final   bool
	}{
		{0, "none", false},
		{eventflow.Succeeded, "succeeded", true},
		{eventflow.DeadLettered, "dead-lettered", true},
		{eventflow.Failed, "failed", true},
		{eventflow.Duplicate, "duplicate", false},
		{eventflow.Skipped, "skipped", true},
		{eventflow.Expired, "expired", true},
		{eventflow.HandedBack, "handed back", false},
	} {
		require.Equal(t, c.name, c.outcome.String())
		require.Equal(t, c.final, c.outcome.Final(), c.name)
		counts[c.outcome]++ // Outcomes leaves room for the last
	}
	for _, n := range counts {
		require.Equal(t, 1, n, "each once")
	}
	require.Equal(t, "outcome 200", eventflow.Outcome(200).String())
	require.False(t, eventflow.Outcome(200).Final())
}
