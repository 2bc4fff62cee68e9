package broker_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

func TestURLSetsTheOptions(t *testing.T) {
	t.Parallel()
	b, err := broker.Open(t.Context(),
		"memory://?capacity=2&capacitybytes=1000&deadlettercapacity=3&lease=5s&maxevent=100&maxreceives=7&failwhenfull=true", broker.Scheme)
	require.NoError(t, err)
	require.Equal(t, 5*time.Second, b.Features().MaxLock)
	require.Equal(t, 100, b.Features().MaxEvent)

	p, err := b.OpenPublisher("q")
	require.NoError(t, err)
	err = p.Publish(t.Context(), make([]eventflow.Event, 3)...)
	require.ErrorIs(t, err, broker.ErrFull)

	s, err := b.OpenSubscriber("q")
	require.NoError(t, err)
	require.ErrorContains(t, s.Start(t.Context(), eventflow.Listening{MaxAttempts: 5, Slack: 5}), "broker.MaxReceives")
}

func TestEachOpenOfAURLMakesABrokerOfItsOwn(t *testing.T) {
	t.Parallel()
	a, err := broker.Open(t.Context(), "memory://", broker.Scheme)
	require.NoError(t, err)
	b, err := broker.Open(t.Context(), "memory:", broker.Scheme)
	require.NoError(t, err)
	require.NotSame(t, a, b)
}

func TestURLThatNamesATopicIsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"memory://uploads", "memory:///uploads", "memory:uploads", "memory://?capacity=1#uploads", "memory://user:hunter2@",
	} {
		_, err := broker.Open(t.Context(), raw, broker.Scheme)
		require.ErrorIs(t, err, eventflow.ErrFatal, raw)
		require.ErrorContains(t, err, "a topic is named when it is opened", raw)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestBadParameterOfAURLIsNamed(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"memory://?capacity=0":              `broker.Capacity: "0" is not allowed: 1 to 1073741824`,
		"memory://?capacity=many":           `broker.Open URL, parameter capacity: "many" is not allowed: a whole number`,
		"memory://?capacity=1&capacity=2":   `broker.Open URL, parameter capacity: "1" is not allowed: one value`,
		"memory://?lease=30":                `broker.Open URL, parameter lease: "30" is not allowed: a duration such as 30s`,
		"memory://?failwhenfull=yes":        `broker.Open URL, parameter failwhenfull: "yes" is not allowed: true or false`,
		"memory://?capacity=%zz":            `broker.Open URL: "memory" is not allowed: parameters in the form name=value, joined by &`,
		"memory://?password=hunter2":        `broker.Open URL, parameter: "password" is not allowed: capacity, capacitybytes, deadlettercapacity, failwhenfull, lease, maxevent or maxreceives`,
		"memory://?failwhenfull=false&x=1":  `broker.Open URL, parameter: "x" is not allowed: capacity, capacitybytes, deadlettercapacity, failwhenfull, lease, maxevent or maxreceives`,
		"other://user:hunter2@host":         `broker.Open URL: "other" is not allowed: one of the schemes given: memory`,
		"memory://user:hunter2@host:port/x": `broker.Open URL: "(not shown)" is not allowed: a URL whose user, password and path are percent-encoded and whose port is a number`,
	} {
		_, err := broker.Open(t.Context(), raw, broker.Scheme)
		require.EqualError(t, err, want, raw)
		require.ErrorIs(t, err, eventflow.ErrFatal)
	}
}

func TestOpenGivesTheURLToItsScheme(t *testing.T) {
	t.Parallel()
	asked := errors.New("asked")
	other := eventflow.Scheme{Names: []string{"other"}, Open: func(_ context.Context, u *url.URL) (eventflow.Broker, error) {
		require.Equal(t, "host", u.Host)
		return nil, asked
	}}
	_, err := broker.Open(t.Context(), "other://host", broker.Scheme, other)
	require.ErrorIs(t, err, asked)
}
