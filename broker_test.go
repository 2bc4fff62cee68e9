package eventflow_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// plain is a broker that can do nothing more.
type plain struct{ eventflow.Broker }

// lister is one that lists its topics.
type lister struct {
	eventflow.Broker

	topics []string
}

func (l *lister) Topics(context.Context) ([]string, error) { return l.topics, nil }

// wrapper is somebody's layer over a broker.
type wrapper struct {
	eventflow.Broker

	inner eventflow.Broker
}

func (w *wrapper) Unwrap() eventflow.Broker { return w.inner }

func TestAsLooksThroughWrappers(t *testing.T) {
	t.Parallel()
	inner := &lister{topics: []string{"uploads"}}
	outer := &lister{topics: []string{"outer"}}
	for what, c := range map[string]struct {
		broker eventflow.Broker
		want   []string
	}{
		"the broker itself":   {inner, []string{"uploads"}},
		"one layer":           {&wrapper{inner: inner}, []string{"uploads"}},
		"two layers":          {&wrapper{inner: &wrapper{inner: inner}}, []string{"uploads"}},
		"the outermost":       {outer, []string{"outer"}},
		"nobody can":          {&wrapper{inner: &plain{}}, nil},
		"a layer over nobody": {&wrapper{}, nil},
		"no broker":           {nil, nil},
	} {
		got, ok := eventflow.As[eventflow.TopicLister](c.broker)
		require.Equal(t, c.want != nil, ok, what)
		if !ok {
			require.Nil(t, got, what)
			continue
		}
		topics, err := got.Topics(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.want, topics, what)
	}
	own, ok := eventflow.As[*lister](&wrapper{inner: inner})
	require.True(t, ok, "a type of its own")
	require.Same(t, inner, own)
}

func TestGroupNamesTheGroup(t *testing.T) {
	t.Parallel()
	var c eventflow.SubscriberConfig
	require.NoError(t, eventflow.Group("thumbs").ApplySubscriber(&c))
	require.Equal(t, "thumbs", c.Group)

	var bad *eventflow.ConfigError
	require.ErrorAs(t, eventflow.Group("").ApplySubscriber(&c), &bad)
	require.Equal(t, "eventflow.Group", bad.Field)
	require.Equal(t, "thumbs", c.Group, "what is refused changes nothing")
}
