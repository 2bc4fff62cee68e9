package eventflow_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestKeysAreReadable(t *testing.T) {
	t.Parallel()
	for want, key := range map[string]eventflow.Key{
		"thumbnail/uploads/shop/42":                {Flow: "thumbnail", Binding: "uploads", Source: "shop", ID: "42"},
		"thumbnail/uploads/shop/42#2":              {Flow: "thumbnail", Binding: "uploads", Source: "shop", ID: "42", Redrive: 2},
		"a%2Fb/%25/%23/c@d":                        {Flow: "a/b", Binding: "%", Source: "#", ID: "c@d"},
		"f/b//2026-03-01T04:00:00+01:00":           {Flow: "f", Binding: "b", ID: "2026-03-01T04:00:00+01:00"},
		"report/nightly@2026-03-01T03:00:00Z":      eventflow.FireKey("report", "nightly", at("2026-03-01T04:00:00+01:00")),
		"report/a%2Fb@c@2026-03-01T03:00:00.0001Z": eventflow.FireKey("report", "a/b@c", at("2026-03-01T03:00:00.0001Z")),
		"///": {},
	} {
		require.Equal(t, want, key.String())
	}
}

// An event can be called like a fire, when its source is empty, and be redriven.
func TestARedrivenKeySaysSoWhateverItsID(t *testing.T) {
	t.Parallel()
	key := eventflow.FireKey("f", "c", at("2026-03-01T03:00:00Z"))
	key.Redrive = 1
	require.Equal(t, "f/c@2026-03-01T03:00:00Z#1", key.String())
}

func TestAFiresKeyTellsItsNominalTime(t *testing.T) {
	t.Parallel()
	for _, nominal := range []time.Time{
		at("2026-03-01T03:00:00Z"), at("2026-03-01T03:00:00.000000001Z"), at("2026-03-29T02:30:00+01:00"), at("0001-01-01T00:00:01Z"),
		at("9999-12-31T23:59:59.999999999Z"), time.Unix(0, 0), at("2016-12-31T23:59:59Z").In(newYork),
	} {
		key := eventflow.FireKey("f", "c", nominal)
		got, ok := key.Nominal()
		require.True(t, ok, key)
		require.True(t, got.Equal(nominal), "%v: %v", nominal, got)
		require.Equal(t, time.UTC, got.Location())
		require.Equal(t, key, eventflow.FireKey("f", "c", got))
	}
	a := eventflow.FireKey("f", "c", at("2026-03-01T03:00:00Z"))
	require.Equal(t, a, eventflow.FireKey("f", "c", at("2026-03-01T03:00:00Z").In(newYork)), "replicas in two zones agree")
}

func TestAnEventsKeyHasNoNominalTime(t *testing.T) {
	t.Parallel()
	for _, key := range []eventflow.Key{
		{},
		{Flow: "f", Binding: "b", ID: "42"},
		{Flow: "f", Binding: "b", Source: "s", ID: "2026-03-01T03:00:00Z"},
		{Flow: "f", Binding: "b", ID: "2026-03-01T03:00:00+00:00"},
		{Flow: "f", Binding: "b", ID: "2026-03-01T03:00:00,5Z"},
		{Flow: "f", Binding: "b", ID: "2026-03-01T03:00:00.50Z"},
		{Flow: "f", Binding: "b", ID: "2026-03-01T04:00:00+01:00"},
	} {
		at, ok := key.Nominal()
		require.False(t, ok, key)
		require.True(t, at.IsZero())
	}
}

// FuzzKeyString: two keys with the same String, or the same result ID, are the same key.
func FuzzKeyString(f *testing.F) {
	type k = eventflow.Key
	for _, c := range [][2]k{
		{{Flow: "a", Binding: "b", Source: "c", ID: "d"}, {Flow: "a/b", Source: "c", ID: "d"}},
		{{Flow: "a", Binding: "b", Source: "c", ID: "d", Redrive: 1}, {Flow: "a", Binding: "b", Source: "c", ID: "d#1"}},
		{{Flow: "%2F"}, {Flow: "/"}},
		{{Flow: "f", Binding: "c@2026-03-01T03:00:00Z"}, {Flow: "f", Binding: "c", ID: "2026-03-01T03:00:00Z"}},
		{{Flow: "f", Binding: "c", ID: "2026-03-01T03:00:00Z"}, {Flow: "f", Binding: "c", ID: "2026-03-01T03:00:00Z", Redrive: 1}},
	} {
		f.Add(c[0].Flow, c[0].Binding, c[0].Source, c[0].ID, c[0].Redrive, c[1].Flow, c[1].Binding, c[1].Source, c[1].ID, c[1].Redrive)
	}
	source := eventflow.NewSource("f", func(context.Context) (string, error) { return "x", nil })
	f.Fuzz(func(t *testing.T, flow, binding, src, id string, redrive int, flow2, binding2, src2, id2 string, redrive2 int) {
		a := k{Flow: flow, Binding: binding, Source: src, ID: id, Redrive: redrive}
		b := k{Flow: flow2, Binding: binding2, Source: src2, ID: id2, Redrive: redrive2}
		// Near misses of a: a part that moved over a separator, and what String itself made of it.
		for _, b := range []k{
			b,
			{Flow: flow + "/" + binding, Source: src, ID: id, Redrive: redrive},
			{Flow: flow, Binding: binding + "/" + src, ID: id, Redrive: redrive},
			{Flow: flow, Binding: binding, Source: src + "/" + id, Redrive: redrive},
			{Flow: flow, Binding: binding + "@" + id, Source: src, Redrive: redrive},
			{Flow: flow, Binding: binding, Source: src, ID: id + "#1", Redrive: 0},
			{Flow: flow, Binding: binding, Source: src, ID: id, Redrive: redrive + 1},
			{Flow: a.String()},
			{ID: a.String()},
		} {
			if a == b {
				continue
			}
			if a.String() == b.String() {
				t.Fatalf("%#v and %#v are both %q", a, b, a)
			}
			outA, errA := source.Call(t.Context(), eventflow.NewRun(source, a), nil)
			outB, errB := source.Call(t.Context(), eventflow.NewRun(source, b), nil)
			if errA != nil || errB != nil || outA[0].ID == outB[0].ID {
				t.Fatalf("results of %#v and %#v are both %q", a, b, outA[0].ID)
			}
		}
		if at, ok := a.Nominal(); ok && eventflow.FireKey(flow, binding, at).ID != id {
			t.Fatalf("%q is no nominal time as FireKey writes it", id)
		}
	})
}
