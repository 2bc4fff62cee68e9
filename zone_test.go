package eventflow_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestAFixedZoneGoesThroughTheTextWhateverItsOffset(t *testing.T) {
	t.Parallel()
	for _, offset := range []int{30, -30, -59, -90, 3600, -3600, 3661, -3661, 86399, -86399} {
		c := eventflow.Cron("0 3 * * *", time.FixedZone("x", offset))
		require.NoError(t, c.Err())
		text, err := c.MarshalText()
		require.NoError(t, err)
		again, err := eventflow.ParseClock(string(text))
		require.NoError(t, err, "%d: %s", offset, text)
		at := time.Unix(1e9, 0)
		require.True(t, c.Next(at).Equal(again.Next(at)), "%d: %s", offset, text)
	}
}

// EST, MST and HST were zones of one offset up to release 2024a of the database, and are links to others since: replicas
// with different releases must not take the same clock for two.
func TestAClocksNameDoesNotDependOnTheDatabasesRelease(t *testing.T) {
	t.Parallel()
	for name, hours := range map[string]int{"EST": -5, "MST": -7, "HST": -10} {
		loc, err := time.LoadLocation(name)
		require.NoError(t, err)
		require.Equal(t, "cron(0 3 * * * "+name+")", eventflow.Cron("0 3 * * *", loc).String())
		before := time.FixedZone(name, hours*3600) // as the database had it
		require.Equal(t, "cron(0 3 * * * "+name+")", eventflow.Cron("0 3 * * *", before).String())
	}
}
