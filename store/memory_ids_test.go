package store

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// Keys whose IDs differ in one byte, wherever it is, are two; and an ID comes back as it was given, whatever its length.
func TestIDsOfAnyLengthAreKeptWhole(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	at := time.Now()
	lengths := []int{0, 1, inRecord - 1, inRecord, inRecord + 1, inRecord + inCell, inRecord + inCell + 1, 10 * inCell, 100_000}
	given := map[eventflow.Key]bool{}
	var held []Claim
	for _, n := range lengths {
		for _, i := range []int{-1, 0, n / 2, inRecord - 1, inRecord, inRecord + inCell, n - 1} {
			id := []byte(strings.Repeat("é", n)[:n])
			if i >= 0 && i < n {
				id[i] ^= 0xff
			}
			k := eventflow.Key{Flow: "f", ID: string(id)}
			cs := []Claim{{Key: k, Fire: &Fire{Definition: "v", Nominal: at}}}
			require.NoError(t, m.Claim(t.Context(), "o", time.Hour, cs))
			if given[k] {
				require.Equal(t, Held, cs[0].Status)
				continue
			}
			given[k] = true
			require.Equal(t, Granted, cs[0].Status)
			require.Equal(t, k, m.keys.key(cs[0].slot))
			held = append(held, cs[0])
		}
	}
	require.Equal(t, len(given), m.Len())
	for i := range held {
		for k := range given { // by themselves: the hashes would tell them apart nearly always
			require.Equal(t, k == held[i].Key, m.keys.ids.is(m.keys.at(held[i].slot), k.ID))
		}
		require.NoError(t, m.Finish(t.Context(), "o", []Finish{{Claim: &held[i], State: Released}}))
	}
	orphans, err := m.Orphans(t.Context(), "f", 1000)
	require.NoError(t, err)
	require.Len(t, orphans, len(given))
	for _, k := range orphans {
		require.True(t, given[k], "%q", k.ID)
	}
}

// What an ID took is used again by IDs of other lengths.
func TestRoomOfForgottenIDsIsUsedAgain(t *testing.T) {
	t.Parallel()
	const capacity = 10
	m := NewMemory(Capacity(capacity))
	for i := range 1000 {
		id := strings.Repeat(string(rune('a'+i%26)), 1+i*7%1000) + string(rune(i))
		cs := []Claim{{Key: eventflow.Key{Flow: "f", ID: id}}}
		require.NoError(t, m.Claim(t.Context(), "o", time.Minute, cs))
		f := Finish{Claim: &cs[0], State: Terminal, Outcome: eventflow.Succeeded}
		if i%3 == 0 {
			f = Finish{Claim: &cs[0], State: Released}
		}
		require.NoError(t, m.Finish(t.Context(), "o", []Finish{f}))
		again := []Claim{{Key: cs[0].Key}}
		require.NoError(t, m.Claim(t.Context(), "o", time.Minute, again))
		if i%3 == 0 {
			require.Equal(t, Granted, again[0].Status)
			require.NoError(t, m.Finish(t.Context(), "o", []Finish{{Claim: &again[0], State: Released}}))
		} else {
			require.Equal(t, Done, again[0].Status)
		}
	}
	require.LessOrEqual(t, int(m.keys.ids.cells.made), (capacity+1)*(1000/inCell+1))
	require.LessOrEqual(t, int(m.keys.records.made), capacity+1)
}

// An owner's name is kept while it holds something, or the newest grant of something that is held was its.
func TestOwnersAreGivenUpWithTheirLastKey(t *testing.T) {
	t.Parallel()
	m := NewMemory(Capacity(2))
	ctx := t.Context()
	ask := func(owner, id string) Claim {
		cs := []Claim{{Key: eventflow.Key{Flow: "f", ID: id}}}
		require.NoError(t, m.Claim(ctx, owner, time.Hour, cs))
		return cs[0]
	}
	a, b := ask("a", "1"), ask("b", "2")
	require.Len(t, m.keys.owners.byName, 2)
	require.Equal(t, Held, ask("nobody", "1").Status)
	require.Len(t, m.keys.owners.byName, 2, "who was granted nothing is not remembered")

	for owner, c := range map[string]*Claim{"b": &a, "a": &b, "": &a, "nobody": &b} {
		fs := []Finish{{Claim: c, State: Released}}
		require.NoError(t, m.Finish(ctx, owner, fs))
		require.True(t, fs[0].Fenced, owner)
	}
	require.NoError(t, m.Finish(ctx, "a", []Finish{{Claim: &a, State: Failed}}))
	taken := ask("c", "1")
	require.Equal(t, Granted, taken.Status)
	require.NotContains(t, m.keys.owners.byName, "a", "c has taken it over")
	require.NoError(t, m.Finish(ctx, "b", []Finish{{Claim: &b, State: Released}}))
	require.Len(t, m.keys.owners.byName, 1)
	d := ask("d", "3")
	require.Len(t, m.keys.owners.all, 4, "places are used again")
	renewed := &Claim{Key: d.Key, Fence: d.Fence}
	require.NoError(t, m.Renew(ctx, "d", time.Hour, []*Claim{renewed}))
	require.Equal(t, Granted, renewed.Status)
	require.NoError(t, m.Renew(ctx, "b", time.Hour, []*Claim{renewed}))
	require.Equal(t, Held, renewed.Status)
}
