package eventflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var errBoom = errors.New("boom")

// upload is the payload of these tests.
type upload struct {
	Path string
	Size int
}

const uploadJSON = `{"Path":"a.png","Size":42,"Unknown":true}`

// event makes an event of the source "src".
func event(id, data string) *eventflow.Event {
	return &eventflow.Event{ID: id, Source: "src", Key: "lane", Data: []byte(data)}
}

// runOf makes a run of f for events, as a trigger named "in" would.
func runOf(f *eventflow.Flow, events ...*eventflow.Event) *eventflow.Run {
	key := eventflow.Key{Flow: f.Name(), Binding: "in"}
	if len(events) > 0 {
		key.Source, key.ID = events[0].Source, events[0].ID
	}
	return eventflow.NewRun(f, key, events...)
}

// fireOf makes a run of f for a fire.
func fireOf(f *eventflow.Flow, ps eventflow.Parameters) *eventflow.Run {
	nominal := at("2026-03-01T03:00:00Z")
	run := eventflow.NewRun(f, eventflow.FireKey(f.Name(), "nightly", nominal))
	run.Fire = &eventflow.Fire{Clock: "nightly", Nominal: nominal, Due: nominal, Parameters: ps}
	return run
}

// call calls f for events and gives what it published.
func call(t *testing.T, f *eventflow.Flow, events ...*eventflow.Event) ([]eventflow.Event, error) {
	t.Helper()
	require.NoError(t, f.Err())
	return f.Call(t.Context(), runOf(f, events...), nil)
}

// into makes a sink that keeps its parameter.
func into[P any](got *P) *eventflow.Flow {
	return eventflow.NewSink("into", func(_ context.Context, p P) error {
		*got = p
		return nil
	})
}

// taken gives what a sink of P is called with.
func taken[P any](t *testing.T, events ...*eventflow.Event) P {
	t.Helper()
	var got P
	_, err := call(t, into(&got), events...)
	require.NoError(t, err)
	return got
}

// fired gives what a sink of P is called with when a clock fired.
func fired[P any](t *testing.T) P {
	t.Helper()
	var got P
	f := into(&got)
	_, err := f.Call(t.Context(), fireOf(f, nil), nil)
	require.NoError(t, err)
	return got
}

func TestPayloadReachesEachKindOfParameter(t *testing.T) {
	t.Parallel()
	want := upload{Path: "a.png", Size: 42}
	ev := event("1", uploadJSON)
	require.Equal(t, []byte(uploadJSON), taken[[]byte](t, ev))
	require.Equal(t, uploadJSON, taken[string](t, ev))
	require.Equal(t, *ev, taken[eventflow.Event](t, ev))
	require.Same(t, ev, taken[*eventflow.Event](t, ev), "no copy is made")
	require.Equal(t, want, taken[upload](t, ev))
	require.Equal(t, &want, taken[*upload](t, ev))
	require.Equal(t, map[string]any{"Path": "a.png", "Size": 42.0, "Unknown": true}, taken[map[string]any](t, ev))
	require.Equal(t, json.RawMessage(uploadJSON), taken[json.RawMessage](t, ev), "a type of its own goes through the codec")
	require.Equal(t, 7, taken[int](t, event("1", " 7 ")))
	require.Equal(t, []int{1, 2}, taken[[]int](t, event("1", "[1,2]")), "a plain slice is one payload")
	require.Equal(t, struct{}{}, taken[struct{}](t, event("1", "{not JSON")), "who takes nothing decodes nothing")
}

func TestPayloadIsNotCopiedForBytes(t *testing.T) {
	t.Parallel()
	ev := event("1", "abc")
	got := taken[[]byte](t, ev)
	require.Same(t, &ev.Data[0], &got[0])
}

func TestAClocksFireGivesTheEmptyParameter(t *testing.T) {
	t.Parallel()
	require.Nil(t, fired[[]byte](t))
	require.Empty(t, fired[string](t))
	require.Equal(t, eventflow.Event{}, fired[eventflow.Event](t))
	require.Nil(t, fired[*eventflow.Event](t))
	require.Equal(t, upload{}, fired[upload](t))
	require.Nil(t, fired[*upload](t))
	require.Empty(t, fired[eventflow.Batch[upload]](t))
}

// A tombstone says that something is gone; no codec can read that.
func TestATombstoneIsTheEmptyParameter(t *testing.T) {
	t.Parallel()
	gone := &eventflow.Event{ID: "1", Source: "src", Key: "lane"}
	require.Nil(t, taken[[]byte](t, gone))
	require.Empty(t, taken[string](t, gone))
	require.Equal(t, *gone, taken[eventflow.Event](t, gone))
	require.Equal(t, upload{}, taken[upload](t, gone))
	require.Nil(t, taken[*upload](t, gone))
	require.Equal(t, eventflow.Batch[upload]{{Event: gone}}, taken[eventflow.Batch[upload]](t, gone))

	p := taken[eventflow.EventParameter[upload]](t, gone)
	_, ok := p.Get()
	require.True(t, ok, "an event did start the run")
	require.Same(t, gone, p.Event())

	_, err := call(t, into(new(upload)), event("1", ""))
	var bad *eventflow.DecodeError
	require.ErrorAs(t, err, &bad, "an empty payload is no tombstone")
}

func TestTheFourShapes(t *testing.T) {
	t.Parallel()
	var ran []string
	note := func(s string) { ran = append(ran, s) }
	flow := eventflow.NewFlow("flow", func(_ context.Context, s string) (string, error) { note("flow"); return s + "!", nil })
	sink := eventflow.NewSink("sink", func(context.Context, string) error { note("sink"); return nil })
	source := eventflow.NewSource("source", func(context.Context) (string, error) { note("source"); return "made", nil })
	job := eventflow.NewJob("job", func(context.Context) error { note("job"); return nil })

	for _, c := range []struct {
		flow      *eventflow.Flow
		publishes bool
		event     string // of an event
		fire      string // of a fire
	}{
		{flow, true, "in!", "!"},
		{sink, false, "", ""},
		{source, true, "made", "made"},
		{job, false, "", ""},
	} {
		name := c.flow.Name()
		require.NoError(t, c.flow.Err(), name)
		require.Equal(t, c.publishes, c.flow.Publishes(), name)
		require.False(t, c.flow.IsBatch(), name)
		for want, run := range map[string]*eventflow.Run{c.event: runOf(c.flow, event("1", "in")), c.fire: fireOf(c.flow, nil)} {
			ran = nil
			out, err := c.flow.Call(t.Context(), run, nil)
			require.NoError(t, err, name)
			require.Equal(t, []string{name}, ran)
			if !c.publishes {
				require.Empty(t, out, name)
				continue
			}
			require.Len(t, out, 1, name)
			require.Equal(t, want, string(out[0].Data), name)
		}
	}
}

func TestErrorsOfTheFunctionPassThroughWhole(t *testing.T) {
	t.Parallel()
	for _, f := range []*eventflow.Flow{
		eventflow.NewFlow("flow", func(context.Context, string) (string, error) { return "x", errBoom }),
		eventflow.NewSink("sink", func(context.Context, string) error { return errBoom }),
		eventflow.NewSource("source", func(context.Context) (eventflow.Many[int], error) { return eventflow.Many[int]{1}, errBoom }),
		eventflow.NewJob("job", func(context.Context) error { return errBoom }),
	} {
		out, err := call(t, f, event("1", "in"))
		require.Same(t, errBoom, err, f.Name())
		require.Empty(t, out, "%s: a failed run publishes nothing", f.Name())
	}
}

func TestPanicsOfTheFunctionAreItsCallers(t *testing.T) {
	t.Parallel()
	f := eventflow.NewJob("job", func(context.Context) error { panic("boom") })
	require.PanicsWithValue(t, "boom", func() { _, _ = f.Call(t.Context(), runOf(f), nil) })
}

func TestContextReachesTheFunctionUnchanged(t *testing.T) {
	t.Parallel()
	var got context.Context
	f := eventflow.NewJob("job", func(ctx context.Context) error {
		got = ctx //nolint:fatcontext // it is kept to be looked at
		return nil
	})
	ctx := eventflow.WithRun(t.Context(), runOf(f))
	_, err := f.Call(ctx, runOf(f), nil)
	require.NoError(t, err)
	require.Equal(t, ctx, got)
}

func TestResultsAreAppended(t *testing.T) {
	t.Parallel()
	f := eventflow.NewSource("two", func(context.Context) (eventflow.Many[string], error) {
		return eventflow.Many[string]{"b", "c"}, nil
	})
	before := []eventflow.Event{{ID: "before"}}
	out, err := f.Call(t.Context(), runOf(f), before)
	require.NoError(t, err)
	require.Len(t, out, 3)
	require.Equal(t, "before", out[0].ID)
}

func TestNothingIsAppendedOnAnError(t *testing.T) {
	t.Parallel()
	before := []eventflow.Event{{ID: "before"}}
	for _, f := range []*eventflow.Flow{
		eventflow.NewSource("fails", func(context.Context) (string, error) { return "x", errBoom }),
		eventflow.NewSource("encodes half", func(context.Context) (eventflow.Many[any], error) {
			return eventflow.Many[any]{"a", func() {}}, nil
		}),
	} {
		require.NoError(t, f.Err())
		out, err := f.Call(t.Context(), runOf(f), before)
		require.Error(t, err, f.Name())
		require.Equal(t, before, out, f.Name())
	}
}

func TestDecodeErrorsSayWhichEventAndNotItsPayload(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"Path":"hunter2","Size":"hunter2"}`, `hunter2`, `{"Path":"hunter2"} trailing`, `"hunter2"`, `[`, ``} {
		_, err := call(t, into(new(upload)), event("77", data))
		var bad *eventflow.DecodeError
		require.ErrorAs(t, err, &bad, data)
		require.Equal(t, "into", bad.Flow)
		require.Equal(t, "src", bad.Source)
		require.Equal(t, "77", bad.ID)
		require.ErrorIs(t, err, bad.Err, "the codec's own error is kept")
		require.ErrorContains(t, err, `flow "into" cannot decode event "77" of "src"`)
		require.NotContains(t, err.Error(), "hunter2")
	}
	var typ *json.UnmarshalTypeError
	_, err := call(t, into(new(upload)), event("1", `{"Size":"x"}`))
	require.ErrorAs(t, err, &typ)
}

func TestTheFunctionIsNotCalledWithWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	calls := 0
	f := eventflow.NewSink("f", func(context.Context, upload) error {
		calls++
		return nil
	})
	_, err := call(t, f, event("1", "["))
	require.Error(t, err)
	require.Zero(t, calls)
}

func TestEncodeErrorsAreTyped(t *testing.T) {
	t.Parallel()
	f := eventflow.NewSource("f", func(context.Context) (any, error) { return map[string]any{"x": func() {}}, nil })
	out, err := call(t, f)
	var bad *eventflow.EncodeError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "f", bad.Flow)
	require.ErrorContains(t, err, `flow "f" cannot encode its result`)
	var typ *json.UnsupportedTypeError
	require.ErrorAs(t, err, &typ)
	require.Empty(t, out)
}

func TestADefinitionSaysEverythingThatIsWrongAtOnce(t *testing.T) {
	t.Parallel()
	var codec *rot13 // a nil in an interface
	f := eventflow.NewFlow[chan int, func()]("", nil, eventflow.WithCodec(nil), eventflow.WithCodec(codec), nil)
	wrong := configErrors(f.Err())
	require.Equal(t, []string{"flow name", "flow  function", "WithCodec", "WithCodec", "flow  option", "flow  result", "flow  parameter"}, fields(wrong))
	require.ErrorIs(t, f.Err(), eventflow.ErrFatal)

	out, err := f.Call(t.Context(), runOf(f), nil)
	require.Equal(t, f.Err(), err, "it cannot be called")
	require.Empty(t, out)
}

func TestEachMistakeOfADefinitionIsNamed(t *testing.T) {
	t.Parallel()
	ok := func(context.Context, string) error { return nil }
	type hidden struct {
		Size int
		up   eventflow.EventParameter[upload]
	}
	type two struct {
		A, B eventflow.EventParameter[upload]
	}
	type base struct {
		Up eventflow.EventParameter[upload]
	}
	type embeds struct{ base }
	type embedsPointer struct{ *base }
	_ = hidden{}.up
	for _, c := range []struct {
		flow                  *eventflow.Flow
		field, value, allowed string
	}{
		{eventflow.NewSink("", ok), "flow name", "", "1 to 128 bytes"},
		{eventflow.NewSink("a\nb", ok), "flow name", "a\nb", "without control characters"},
		{eventflow.NewSink("a\xffb", ok), "flow name", "a\xffb", "UTF-8"},
		{eventflow.NewSink(strings.Repeat("x", 129), ok), "flow name", strings.Repeat("x", 129), "1 to 128 bytes"},
		{eventflow.NewFlow[string, string]("f", nil), "flow f function", "nil", "a function"},
		{eventflow.NewSink[string]("f", nil), "flow f function", "nil", "a function"},
		{eventflow.NewSource[string]("f", nil), "flow f function", "nil", "a function"},
		{eventflow.NewJob("f", nil), "flow f function", "nil", "a function"},
		{eventflow.NewSink("f", ok, nil), "flow f option", "nil", "a FlowOption"},
		{eventflow.NewSink("f", ok, eventflow.WithCodec(nil)), "WithCodec", "nil", "eventflow.JSON"},
		{into(new(chan int)), "flow into parameter", "chan int", "a type with a payload"},
		{into(new(func())), "flow into parameter", "func()", "a type with a payload"},
		{into(new(*eventflow.Batch[string])), "flow into parameter", "*eventflow.Batch[string]", "not a pointer"},
		{into(new(eventflow.Batch[chan int])), "flow into element of Batch", "chan int", "a type with a payload"},
		{into(new(eventflow.Batch[base])), "flow into element of Batch", "eventflow_test.base", "an Item has the event beside it"},
		{into(new(eventflow.EventParameter[chan int])), "flow into EventParameter", "chan int", "a type with a payload"},
		{into(new(struct {
			Up eventflow.EventParameter[func()]
		})), "flow into EventParameter", "func()", "a type with a payload"},
		{into(new(hidden)), "flow into parameter eventflow_test.hidden", "up", "an exported field"},
		{into(new(two)), "flow into parameter eventflow_test.two", "B", "A is one already"},
		{into(new(*base)), "flow into parameter *eventflow_test.base", "*eventflow_test.base", "not a pointer"},
		{into(new(embeds)), "flow into parameter eventflow_test.embeds", "base", "a field of the parameter struct itself"},
		{into(new(embedsPointer)), "flow into parameter eventflow_test.embedsPointer", "base", "a field of the parameter struct itself"},
		{eventflow.NewSource("f", func(context.Context) (chan int, error) { return nil, nil }), "flow f result", "chan int", "a type with a payload"},
		{eventflow.NewSource("f", func(context.Context) (eventflow.Many[func()], error) { return nil, nil }), "flow f element of Many", "func()", "a type with a payload"},
		{eventflow.NewSource("f", func(context.Context) (*eventflow.Many[func()], error) { return nil, nil }), "flow f element of Many", "func()", "a type with a payload"},
	} {
		wrong := configErrors(c.flow.Err())
		require.Len(t, wrong, 1, "%s %s: %v", c.field, c.value, c.flow.Err())
		require.Equal(t, c.field, wrong[0].Field)
		require.Equal(t, c.value, wrong[0].Value, c.field)
		require.Contains(t, wrong[0].Allowed, c.allowed, c.field)
	}
}

func TestNamesMayHoldAnyText(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"f", "größe/%#@ 7", strings.Repeat("x", 128)} {
		f := eventflow.NewJob(name, func(context.Context) error { return nil }, eventflow.Version("v2"))
		require.NoError(t, f.Err())
		require.Equal(t, name, f.Name())
		require.Equal(t, "v2", f.Version())
		require.Equal(t, "v2", runOf(f).Version, "its runs know it")
	}
}

// They count allocations, so they cannot run beside other tests.
func TestKindsThatSkipTheCodecAllocateNothing(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun forbids it
	ev := event("1", "a payload of more than a word")
	var size int
	for _, c := range []struct {
		what   string
		flow   *eventflow.Flow
		allocs float64
	}{
		{"bytes", eventflow.NewSink("f", func(_ context.Context, p []byte) error { size += len(p); return nil }), 0},
		{"event", eventflow.NewSink("f", func(_ context.Context, p eventflow.Event) error { size += len(p.Data); return nil }), 0},
		{"pointer to event", eventflow.NewSink("f", func(_ context.Context, p *eventflow.Event) error { size += len(p.Data); return nil }), 0},
		{"nothing", eventflow.NewJob("f", func(context.Context) error { size++; return nil }), 0},
		{"string, which is a copy", eventflow.NewSink("f", func(_ context.Context, p string) error { size += len(p); return nil }), 1},
		{"bytes to bytes, for the result's ID", eventflow.NewFlow("f", func(_ context.Context, p []byte) ([]byte, error) { return p, nil }), 1},
		{"event to event, for the result's ID", eventflow.NewFlow("f", func(_ context.Context, p eventflow.Event) (eventflow.Event, error) { p.ID = ""; return p, nil }), 1},
		{"event to event, with an ID", eventflow.NewFlow("f", func(_ context.Context, p *eventflow.Event) (*eventflow.Event, error) { return p, nil }), 0},
		{"string to string, two copies and the result's ID", eventflow.NewFlow("f", func(_ context.Context, p string) (string, error) { return p, nil }), 3},
		{"bytes to no result", eventflow.NewFlow("f", func(_ context.Context, p []byte) ([]byte, error) { size += len(p); return nil, nil }), 0},
	} {
		run, buf := runOf(c.flow, ev), make([]eventflow.Event, 0, 4)
		require.InDelta(t, c.allocs, testing.AllocsPerRun(100, func() {
			if _, err := c.flow.Call(t.Context(), run, buf); err != nil {
				t.Error(err)
			}
		}), 0, c.what)
	}
	require.Positive(t, size)
}

// configErrors gives every *ConfigError of a joined error, in order.
func configErrors(err error) (out []*eventflow.ConfigError) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree
	case *eventflow.ConfigError:
		return []*eventflow.ConfigError{e}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			out = append(out, configErrors(one)...)
		}
	}
	return out
}

func fields(errs []*eventflow.ConfigError) (out []string) {
	for _, e := range errs {
		out = append(out, e.Field)
	}
	return out
}
