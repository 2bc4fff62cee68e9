package eventflow_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TimeClock = (*eventflow.DatesClock)(nil)

func TestDatesFireInOrderOnceEachStrictlyAfter(t *testing.T) {
	t.Parallel()
	c := eventflow.Dates(at("2026-06-01T00:00:00Z"), at("2026-03-01T00:00:00.5Z"), at("2026-06-01T02:00:00+02:00"), at("2026-03-01T00:00:00Z"))
	require.NoError(t, c.Err())
	require.Equal(t, []string{"2026-03-01T00:00:00Z", "2026-03-01T00:00:00.5Z", "2026-06-01T00:00:00Z"}, fires(c, "2026-01-01T00:00:00Z", 9))
	require.Equal(t, []string{"2026-06-01T00:00:00Z"}, fires(c, "2026-03-01T00:00:00.5Z", 9))
	require.Empty(t, fires(c, "2026-06-01T00:00:00Z", 9))
}

func TestDatesKeepACopy(t *testing.T) {
	t.Parallel()
	ts := []time.Time{at("2026-06-01T00:00:00Z"), at("2026-03-01T00:00:00Z")}
	c := eventflow.Dates(ts...)
	require.Equal(t, at("2026-06-01T00:00:00Z"), ts[0], "the caller's order is the caller's")
	ts[0], ts[1] = at("2030-01-01T00:00:00Z"), at("2031-01-01T00:00:00Z")
	require.Equal(t, []string{"2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z"}, fires(c, "2026-01-01T00:00:00Z", 9))
}

func TestEqualDatesHaveOneNameOfBoundedLength(t *testing.T) {
	t.Parallel()
	a, b := at("2026-03-01T09:00:00+01:00"), at("2026-06-01T08:00:00.25Z")
	require.Equal(t, "dates(2026-03-01T08:00:00Z,2026-06-01T08:00:00.25Z)", eventflow.Dates(b, a, b).String())

	long := make([]time.Time, 1000)
	for i := range long {
		long[i] = a.Add(time.Duration(i) * time.Hour)
	}
	name := eventflow.Dates(long...).String()
	require.LessOrEqual(t, len(name), 128)
	require.Contains(t, name, "dates(1000 from 2026-03-01T08:00:00Z to 2026-04-11T23:00:00Z ")
	require.Equal(t, name, eventflow.Dates(long...).String())
	long[500] = long[500].Add(1)
	require.NotEqual(t, name, eventflow.Dates(long...).String(), "the hash is of all of them")
}

func TestDatesThatCannotBeAreRefusedByName(t *testing.T) {
	t.Parallel()
	ok := at("2026-03-01T08:00:00Z")
	for _, c := range []struct {
		clock        *eventflow.DatesClock
		field, value string
	}{
		{eventflow.Dates(), "eventflow.Dates", ""},
		{new(eventflow.DatesClock), "eventflow.Dates", ""},
		{eventflow.Dates(ok, time.Time{}), "eventflow.Dates date 1", "0001-01-01T00:00:00Z"},
		{eventflow.Dates(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), ok), "eventflow.Dates date 0", "0000-01-01T00:00:00Z"},
		{eventflow.Dates(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), "eventflow.Dates date 0", "10000-01-01T00:00:00Z"},
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, c.clock.Err(), &bad)
		require.Equal(t, c.field, bad.Field)
		require.Equal(t, c.value, bad.Value)
		require.True(t, c.clock.Next(at("2000-01-01T00:00:00Z")).IsZero(), "nothing fires")
		require.Contains(t, c.clock.String(), "dates(")
	}
}
