package eventflow_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestPermanentIsSeenThroughWrapping(t *testing.T) {
	t.Parallel()
	permanent := eventflow.Permanent(errBoom)
	require.ErrorIs(t, permanent, errBoom)
	require.EqualError(t, permanent, "boom", "it adds nothing to the text")
	for what, err := range map[string]error{
		"itself":                  permanent,
		"wrapped":                 fmt.Errorf("f: %w", permanent),
		"joined":                  errors.Join(errors.New("other"), permanent),
		"marked twice":            eventflow.Permanent(permanent),
		"too large for a broker":  fmt.Errorf("f: %w", eventflow.ErrTooLarge),
		"one event of a publish":  &eventflow.PublishError{Failed: []eventflow.ItemError{{Err: errBoom}, {Index: 1, Err: eventflow.ErrTooLarge}}},
		"one item of a batch":     &eventflow.BatchError{Items: []eventflow.ItemError{{Err: permanent}}},
		"the cause of a decoding": &eventflow.DecodeError{Err: permanent},
	} {
		require.True(t, eventflow.IsPermanent(err), what)
	}
	for what, err := range map[string]error{"nil": nil, "an error": errBoom, "busy": eventflow.Busy(0), "fatal": eventflow.ErrFatal} {
		require.False(t, eventflow.IsPermanent(err), what)
	}
	require.NoError(t, eventflow.Permanent(nil))
}

func TestBusyCarriesItsDelay(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 0: 0, -time.Second: 0} {
		var busy *eventflow.BusyError
		require.ErrorAs(t, fmt.Errorf("f: %w", eventflow.Busy(after)), &busy)
		require.Equal(t, want, busy.After)
	}
	require.EqualError(t, eventflow.Busy(time.Minute), "busy, try again in 1m0s")
}

func TestSkipCarriesItsReason(t *testing.T) {
	t.Parallel()
	var skip *eventflow.SkipError
	require.ErrorAs(t, fmt.Errorf("f: %w", eventflow.Skip("weekend")), &skip)
	require.Equal(t, "weekend", skip.Reason)
	require.EqualError(t, skip, "skipped: weekend")
}

func TestConfigErrorsAreFinalAndSayThreeThings(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("f: %w", &eventflow.ConfigError{Field: "runner.MaxRuns", Value: "0", Allowed: "1 to 100000"})
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.EqualError(t, err, `f: runner.MaxRuns: "0" is not allowed: 1 to 100000`)
	var bad *eventflow.ConfigError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "runner.MaxRuns", bad.Field)
}

func TestErrorsOfSlicesShowEachOfTheirs(t *testing.T) {
	t.Parallel()
	items := []eventflow.ItemError{{Index: 2, Err: errBoom}, {Index: 5, Err: fmt.Errorf("x: %w", eventflow.ErrTooLarge)}}
	for want, err := range map[string]error{
		"2 events were not published, the first at 2: boom": &eventflow.PublishError{Failed: items},
		"2 items failed, the first at 2: boom":              &eventflow.BatchError{Items: items},
	} {
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, eventflow.ErrTooLarge)
		require.NotErrorIs(t, err, eventflow.ErrClosed)
	}
	require.EqualError(t, &eventflow.PublishError{}, "0 events were not published")
	var publish *eventflow.PublishError
	require.ErrorAs(t, fmt.Errorf("f: %w", &eventflow.PublishError{Failed: items}), &publish)
	require.Equal(t, items, publish.Failed)
}

func TestABatchErrorIsFilledWithoutLooking(t *testing.T) {
	t.Parallel()
	var e eventflow.BatchError
	e.Add(0, nil)
	require.NoError(t, e.Err(), "a nil error is not noted")
	e.Add(3, errBoom)
	require.ErrorIs(t, e.Err(), errBoom)
	require.Equal(t, []eventflow.ItemError{{Index: 3, Err: errBoom}}, e.Items)

	var none *eventflow.BatchError
	require.NoError(t, none.Err())
	require.EqualError(t, none, "0 items failed", "a nil one can be printed")
	require.NotErrorIs(t, none, errBoom)
}

func TestCodecErrorsNameTheirFlow(t *testing.T) {
	t.Parallel()
	require.EqualError(t, &eventflow.DecodeError{Flow: "f", Source: "s", ID: "1", Err: errBoom}, `flow "f" cannot decode event "1" of "s": boom`)
	require.EqualError(t, &eventflow.EncodeError{Flow: "f", Err: errBoom}, `flow "f" cannot encode its result: boom`)
	require.ErrorIs(t, &eventflow.DecodeError{Err: errBoom}, errBoom)
	require.ErrorIs(t, &eventflow.EncodeError{Err: errBoom}, errBoom)
}

func TestAbandonedRunsAreNamed(t *testing.T) {
	t.Parallel()
	e := &eventflow.AbandonedError{Flow: "f", Runs: []string{"f/b/s/1", "f/b/s/2"}}
	require.EqualError(t, e, `eventflow: flows ignored their context: flow "f": f/b/s/1, f/b/s/2`)
	e.More = 3
	require.EqualError(t, e, `eventflow: flows ignored their context: flow "f": f/b/s/1, f/b/s/2 and 3 more`)
	require.ErrorIs(t, fmt.Errorf("x: %w", e), eventflow.ErrAbandoned)
}

func TestSentinelsAreDifferent(t *testing.T) {
	t.Parallel()
	all := []error{
		eventflow.ErrEnd, eventflow.ErrClosed, eventflow.ErrFatal, eventflow.ErrNoTopic, eventflow.ErrNoDeadLetters, eventflow.ErrTooLarge,
		eventflow.ErrLockLost, eventflow.ErrShutdown, eventflow.ErrRunEnded, eventflow.ErrOverlap, eventflow.ErrAbandoned,
	}
	texts := map[string]bool{}
	for i, a := range all {
		require.Regexp(t, `^eventflow: `, a.Error())
		require.False(t, texts[a.Error()], a)
		texts[a.Error()] = true
		for j, b := range all {
			require.Equal(t, i == j, errors.Is(a, b))
		}
	}
}
