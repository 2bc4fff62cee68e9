package servicebustest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func TestAManualClockCallsInOrderAndAtTheMoment(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := servicebustest.NewManualClock(start)
	var got []time.Duration
	note := func() { got = append(got, c.Now().Sub(start)) }
	c.AfterFunc(3*time.Second, note)
	c.AfterFunc(time.Second, func() {
		note()
		c.AfterFunc(time.Second, note) // falls due within the same Advance
	})
	stop := c.AfterFunc(time.Second, func() { t.Error("it was stopped") })
	require.True(t, stop())
	require.False(t, stop())
	c.AfterFunc(time.Minute, note)
	c.Advance(10 * time.Second)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, got)
	require.Equal(t, start.Add(10*time.Second), c.Now())
}
