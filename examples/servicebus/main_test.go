package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func TestUploadsBecomeThumbsAndDeadLetters(t *testing.T) {
	t.Parallel()
	t.Run("on a server of its own", func(t *testing.T) {
		t.Parallel()
		becomes(t, "")
	})
	t.Run("by connection string", func(t *testing.T) {
		t.Parallel()
		becomes(t, servicebustest.New(t, servicebustest.Options{
			Queues: map[string]servicebustest.Queue{"uploads": {}},
			Topics: map[string]servicebustest.Topic{"thumbs": {Subscriptions: map[string]servicebustest.Subscription{"gallery": {}}}},
		}).ConnectionString())
	})
}

func becomes(t *testing.T, connectionString string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, connectionString))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	require.Equal(t, []string{`{"Name":"small-cat.png"}`, `{"Name":"small-dog.png"}`, `{"Name":"void.png","Bytes":0} permanent`}, lines)
}
