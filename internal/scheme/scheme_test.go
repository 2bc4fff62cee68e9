package scheme_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/scheme"
)

type opener struct{ names []string }

func names(o opener) []string { return o.names }

func TestParseNeverShowsTheURL(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"kafka://user:hunter2@host:port/x",  // url.Parse quotes the port
		"kafka://user:hunter2%zz@host",      // and the escape
		"kafka://user:hunter2 x@host",       // and the whole
		"kafka://user:hunter2@[::1",         // and the host
		":hunter2",                          // and what has no scheme
		"user:hunter2@host\x7f",             // and control characters
		"//user:hunter2@host",               // parses, without a scheme
		"hunter2",                           // so does this
		"kafka://us\ner:hunter2@host/topic", //
	} {
		_, err := scheme.Parse("broker.Open URL", raw)
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), "hunter2", raw)
		require.NotContains(t, err.Error(), "port\"", raw)
		require.ErrorIs(t, err, eventflow.ErrFatal)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, "broker.Open URL", ce.Field)
	}
}

func TestParseRefusesTheEmptyString(t *testing.T) {
	t.Parallel()
	_, err := scheme.Parse("store.Open URL", "")
	require.EqualError(t, err, `store.Open URL: "" is not allowed: a URL, such as memory://`)
}

func TestPickFindsASchemeByAnyOfItsNamesInAnyCase(t *testing.T) {
	t.Parallel()
	u, err := scheme.Parse("f", "AMQPS://host")
	require.NoError(t, err)
	got, err := scheme.Pick("f", u, []opener{{names: []string{"memory"}}, {names: []string{"amqp", "Amqps"}}}, names)
	require.NoError(t, err)
	require.Equal(t, []string{"amqp", "Amqps"}, got.names)
}

func TestPickSaysWhichSchemesThereAre(t *testing.T) {
	t.Parallel()
	u, err := scheme.Parse("f", "nats://user:hunter2@host")
	require.NoError(t, err)

	_, err = scheme.Pick("f", u, []opener{{names: []string{"memory"}}, {names: []string{"kafka", "kafkas"}}}, names)
	require.EqualError(t, err, `f: "nats" is not allowed: one of the schemes given: memory, kafka, kafkas`)
	require.ErrorIs(t, err, eventflow.ErrFatal)

	_, err = scheme.Pick("f", u, nil, names)
	require.EqualError(t, err, `f: "nats" is not allowed: no scheme was given: pass the Scheme of its package`)
}
