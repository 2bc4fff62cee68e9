package store

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestSpacesAreGivenUpWithTheirLastKey(t *testing.T) {
	t.Parallel()
	m := NewMemory(Capacity(10))
	for i := range 1000 {
		cs := []Claim{{Key: eventflow.Key{Flow: "f", Source: strconv.Itoa(i), ID: "1"}}}
		require.NoError(t, m.Claim(t.Context(), "o", time.Minute, cs))
		f := Finish{Claim: &cs[0], State: Released}
		if i%2 == 0 {
			f.State, f.Outcome = Terminal, eventflow.Succeeded
		}
		require.NoError(t, m.Finish(t.Context(), "o", []Finish{f}))
		require.Len(t, m.keys.spaces, m.keys.used, "each key is alone in its space")
	}
	require.Equal(t, 9, m.keys.used, "the last key took the place of another and was released")
	require.LessOrEqual(t, len(m.keys.byID), 13, "spaces are used again")

	// Looking for what is not there makes none that stays.
	require.NoError(t, m.Renew(t.Context(), "o", time.Minute, []*Claim{{Key: eventflow.Key{Flow: "unknown"}}}))
	early := []Claim{{Key: eventflow.Key{Flow: "unknown"}, Fire: &Fire{NotBefore: time.Now().Add(time.Hour)}}}
	require.NoError(t, m.Claim(t.Context(), "o", time.Minute, early))
	require.Equal(t, Early, early[0].Status)
	require.Len(t, m.keys.spaces, 9)
}

func TestForgottenKeysArePinnedByNothing(t *testing.T) {
	t.Parallel()
	m := NewMemory(Capacity(10))
	cs := []Claim{{Key: eventflow.Key{Flow: "f", Source: "s", ID: "1"}}}
	require.NoError(t, m.Claim(t.Context(), "o", time.Minute, cs))
	require.NoError(t, m.Finish(t.Context(), "o", []Finish{{Claim: &cs[0], State: Released}}))
	require.Empty(t, m.keys.owners.byName)
	require.Equal(t, []holder{{}, {}}, m.keys.owners.all)
	require.Equal(t, space{}, m.keys.byID[1])
}

func TestCursorsAreBounded(t *testing.T) {
	t.Parallel()
	cs := cursors{limit: 100}
	at := time.Unix(0, 0)
	for i := range 10_000 {
		cs.move(clockName{"f", strconv.Itoa(i)}, "v1", at)
		cs.move(clockName{"f", "busy"}, "v1", at.Add(time.Duration(i)))
		require.LessOrEqual(t, len(cs.newer)+len(cs.old), 100)
	}
	require.Equal(t, at.Add(9_999), cs.get(clockName{"f", "busy"}, "v1"), "one that moves is not forgotten")
	for i := 9_960; i < 10_000; i++ {
		require.Equal(t, at, cs.get(clockName{"f", strconv.Itoa(i)}, "v1"))
	}
	require.Zero(t, cs.get(clockName{"f", "0"}, "v1"))
}
