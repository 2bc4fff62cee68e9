package opened_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/opened"
)

var errBoom = errors.New("boom")

// part is a closer that forgets itself, and waits for the others to close too.
type part struct {
	set    *opened.Set
	all    *sync.WaitGroup
	closed int
	err    error
}

func (p *part) Close(context.Context) error {
	p.set.Remove(p)
	p.closed++
	p.all.Done()
	p.all.Wait()
	return p.err
}

func TestWhatIsOpenIsClosedAtTheSameTimeAndOnce(t *testing.T) {
	t.Parallel()
	var set opened.Set
	var all sync.WaitGroup
	all.Add(3)
	parts := []*part{{set: &set, all: &all}, {set: &set, all: &all, err: errBoom}, {set: &set, all: &all}}
	gone := &part{set: &set, all: &all}
	for _, p := range append(parts, gone) {
		require.True(t, set.Add(p))
	}
	set.Remove(gone)
	require.False(t, set.Closed())
	require.ErrorIs(t, set.Close(t.Context()), errBoom)
	require.True(t, set.Closed())
	require.False(t, set.Add(gone))
	require.NoError(t, set.Close(t.Context()))
	for _, p := range parts {
		require.Equal(t, 1, p.closed)
	}
	require.Zero(t, gone.closed)
}
