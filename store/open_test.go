package store_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

func TestOpenGivesTheURLToItsScheme(t *testing.T) {
	t.Parallel()
	asked := errors.New("asked")
	var got *url.URL
	s := store.Scheme{Names: []string{"test"}, Open: func(_ context.Context, u *url.URL) (store.Store, error) {
		got = u
		return nil, asked
	}}
	_, err := store.Open(t.Context(), "test://host/db?pool=4", s)
	require.ErrorIs(t, err, asked)
	require.Equal(t, "host", got.Host)
	require.Equal(t, "4", got.Query().Get("pool"))
}

func TestOpenOfAnUnknownSchemeSaysWhichThereAre(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), "nothing://user:hunter2@host", store.Scheme{Names: []string{"test"}})
	require.EqualError(t, err, `store.Open URL: "nothing" is not allowed: one of the schemes given: test`)
	require.ErrorIs(t, err, eventflow.ErrFatal)
}
