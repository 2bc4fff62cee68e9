package eventflow_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// emitting makes a source that returns r.
func emitting[R any](r R) *eventflow.Flow {
	return eventflow.NewSource("made/by", func(context.Context) (R, error) { return r, nil })
}

// published gives what a flow that returns r publishes for an event.
func published[R any](t *testing.T, r R) []eventflow.Event {
	t.Helper()
	out, err := call(t, emitting(r), event("1", "in"))
	require.NoError(t, err)
	return out
}

func TestEachKindOfResultIsPublished(t *testing.T) {
	t.Parallel()
	ev := eventflow.Event{Data: []byte("x")}
	for what, c := range map[string]struct {
		out               []eventflow.Event
		data, contentType string
	}{
		"bytes":             {published(t, []byte("x")), "x", ""},
		"no bytes":          {published(t, []byte{}), "", ""},
		"string":            {published(t, "x"), "x", ""},
		"empty string":      {published(t, ""), "", ""},
		"event":             {published(t, ev), "x", ""},
		"pointer to event":  {published(t, &ev), "x", ""},
		"struct":            {published(t, upload{}), `{"Path":"","Size":0}`, "application/json"},
		"pointer to struct": {published(t, &upload{}), `{"Path":"","Size":0}`, "application/json"},
		"number":            {published(t, 0), "0", "application/json"},
		"map":               {published(t, map[string]int{}), "{}", "application/json"},
		"any":               {published[any](t, []int{1}), "[1]", "application/json"},
		"bytes in any":      {published[any](t, []byte("x")), "x", ""},
	} {
		require.Len(t, c.out, 1, what)
		require.Equal(t, c.data, string(c.out[0].Data), what)
		require.NotNil(t, c.out[0].Data, "%s: it is no tombstone", what)
		require.Equal(t, c.contentType, c.out[0].DataContentType, what)
	}
}

func TestNilPublishesNothing(t *testing.T) {
	t.Parallel()
	for what, out := range map[string][]eventflow.Event{
		"pointer":          published[*upload](t, nil),
		"bytes":            published[[]byte](t, nil),
		"slice":            published[[]int](t, nil),
		"map":              published[map[string]int](t, nil),
		"pointer to event": published[*eventflow.Event](t, nil),
		"interface":        published[any](t, nil),
		"pointer in any":   published[any](t, (*upload)(nil)),
	} {
		require.Empty(t, out, what)
	}
	require.Empty(t, published(t, struct{}{}))
	require.False(t, emitting(struct{}{}).Publishes(), "nothing is no result")
	require.True(t, emitting[any](nil).Publishes())
}

func TestAResultGetsWhatItsFlowLeftOut(t *testing.T) {
	t.Parallel()
	out := published(t, eventflow.Event{Subject: "s", Data: []byte("x")})
	require.Len(t, out, 1)
	require.Regexp(t, `^[0-9a-f]{32}-0$`, out[0].ID)
	require.Equal(t, eventflow.Event{
		ID: out[0].ID, Source: "eventflow/made%2Fby", Type: "made/by", Key: "lane", Subject: "s", Data: []byte("x"),
	}, out[0], "the key is that of the event that started the run")
}

func TestAResultKeepsWhatItsFlowSet(t *testing.T) {
	t.Parallel()
	whole := eventflow.Event{
		ID: "id", Source: "source", Type: "type", Subject: "subject", DataContentType: "text/plain", DataSchema: "schema", Key: "key",
		Time: at("2026-03-01T00:00:00Z"), Attributes: eventflow.Attributes{{Name: "a", Value: "1"}}, Data: []byte("x"),
	}
	require.Equal(t, []eventflow.Event{whole}, published(t, whole))
	require.Equal(t, []eventflow.Event{whole, whole}, published(t, eventflow.Many[*eventflow.Event]{&whole, &whole}))
}

func TestAResultOfAFireHasNoKey(t *testing.T) {
	t.Parallel()
	f := emitting("x")
	out, err := f.Call(t.Context(), fireOf(f, nil), nil)
	require.NoError(t, err)
	require.Empty(t, out[0].Key)
	require.NotEmpty(t, out[0].ID)
}

func TestAResultOfABatchHasTheKeyOfItsFirstEvent(t *testing.T) {
	t.Parallel()
	f := eventflow.NewFlow("f", func(context.Context, eventflow.Batch[string]) (string, error) { return "x", nil })
	first, next := event("1", ""), event("2", "")
	next.Key = "other"
	out, err := call(t, f, first, next)
	require.NoError(t, err)
	require.Equal(t, "lane", out[0].Key)
}

// What says why an event was a dead letter is not said of the result that a flow makes of it.
func TestAttributesOfOurOwnNeverReachAResult(t *testing.T) {
	t.Parallel()
	in := event("1", "x")
	in.Attributes = eventflow.Attributes{
		{Name: "first", Value: "1"}, {Name: "eventflow-reason", Value: "exhausted"}, {Name: "trace", Value: "t"}, {Name: "eventflow-attempts", Value: "5"},
	}
	before := append(eventflow.Attributes(nil), in.Attributes...)
	for _, f := range []*eventflow.Flow{
		eventflow.NewFlow("f", func(_ context.Context, ev eventflow.Event) (eventflow.Event, error) { return ev, nil }),
		eventflow.NewFlow("f", func(_ context.Context, ev *eventflow.Event) (*eventflow.Event, error) { return ev, nil }),
	} {
		out, err := call(t, f, in)
		require.NoError(t, err)
		require.Equal(t, eventflow.Attributes{{Name: "first", Value: "1"}, {Name: "trace", Value: "t"}}, out[0].Attributes)
		require.Equal(t, before, in.Attributes, "the event itself is left alone")
	}
}

// resultID gives the ID of a result of the run with that key.
func resultID(t *testing.T, key eventflow.Key, more ...*eventflow.Event) string {
	t.Helper()
	f := emitting("x")
	run := eventflow.NewRun(f, key, append([]*eventflow.Event{{ID: key.ID, Source: key.Source}}, more...)...)
	out, err := f.Call(t.Context(), run, nil)
	require.NoError(t, err)
	return out[0].ID
}

func TestResultIDsAreTheSameOnEveryAttempt(t *testing.T) {
	t.Parallel()
	f := emitting(eventflow.Many[string]{"a", "b", "c"})
	var first []eventflow.Event
	for attempt := 1; attempt <= 3; attempt++ {
		run := runOf(f, event("1", "in"))
		run.Attempt, run.Fence, run.Deadline, run.Version = attempt, attempt*7, time.Unix(int64(attempt), 0), fmt.Sprint(attempt)
		out, err := f.Call(t.Context(), run, nil)
		require.NoError(t, err)
		require.Len(t, out, 3)
		if first == nil {
			first = out
		}
		require.Equal(t, first, out)
	}
}

func TestResultIDsDifferByOrdinal(t *testing.T) {
	t.Parallel()
	out := published(t, make(eventflow.Many[int], 1000))
	require.Len(t, out, 1000)
	seen := map[string]bool{}
	for _, ev := range out {
		require.False(t, seen[ev.ID], ev.ID)
		require.LessOrEqual(t, len(ev.ID), 128, "Service Bus takes no more")
		seen[ev.ID] = true
	}
}

func TestResultIDsDifferByTheEventsOfABatch(t *testing.T) {
	t.Parallel()
	key := eventflow.Key{Flow: "f", Binding: "b", Source: "s", ID: "1"}
	ev := func(source, id string) *eventflow.Event { return &eventflow.Event{Source: source, ID: id} }
	seen := map[string]int{}
	for i, more := range [][]*eventflow.Event{
		nil, {ev("s", "2")}, {ev("s", "3")}, {ev("s", "2"), ev("s", "3")}, {ev("s", "3"), ev("s", "2")}, {ev("s2", "")}, {ev("", "s2")}, {ev("", "")}, {ev("", ""), ev("", "")},
	} {
		id := resultID(t, key, more...)
		before, ok := seen[id]
		require.False(t, ok, "batches %d and %d", before, i)
		seen[id] = i
	}
}

// Keys are drawn from few and short parts, so that a separator which means two things would soon be found.
func TestNoTwoKeysHaveOneStringOrResultID(t *testing.T) {
	t.Parallel()
	parts := []string{
		"", "/", "#", "%", "@", "#1", "%2F", "%252F", "%23", "a", "b", "a/b", "a#1", "a@b", "@2026-03-01T03:00:00Z", "2026-03-01T03:00:00Z",
		"2026-03-01T03:00:00.5Z", "2026-03-01T03:00:00+00:00", "2026-03-01T03:00:00.0Z", "\x00", "\xff", "é",
	}
	random := rand.New(rand.NewPCG(1, 2))
	part := func() string { return parts[random.IntN(len(parts))] }
	names, results := map[string]eventflow.Key{}, map[string]eventflow.Key{}
	for range 50_000 {
		key := eventflow.Key{Flow: part(), Binding: part(), Source: part(), ID: part(), Redrive: random.IntN(12) - 1}
		name := key.String()
		if other, ok := names[name]; ok && other != key {
			t.Fatalf("%#v and %#v are both %q", key, other, name)
		}
		names[name] = key
	}
	for _, key := range names {
		id := resultID(t, key)
		if other, ok := results[id]; ok {
			t.Fatalf("results of %#v and %#v are both %q", key, other, id)
		}
		results[id] = key
	}
	require.Greater(t, len(names), 20_000)
}
