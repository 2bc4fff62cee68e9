package eventflow_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// thumbParams has the event's payload and parameters of every sort.
type thumbParams struct {
	Upload eventflow.EventParameter[upload]
	Size   int8
	Tags   []string
	Limits map[string][]int
	Every  time.Duration
	Inner  struct{ A, B int }
	Next   *upload
	hidden int
}

func TestTheEventParameterTakesThePayload(t *testing.T) {
	t.Parallel()
	ev := event("1", uploadJSON)
	p := taken[thumbParams](t, ev)
	up, ok := p.Upload.Get()
	require.True(t, ok)
	require.Equal(t, upload{Path: "a.png", Size: 42}, up)
	require.Same(t, ev, p.Upload.Event())
	require.Zero(t, p.Size, "the payload's Size is not the parameter's")
	require.Zero(t, p.hidden)
}

func TestTheEventParameterIsEmptyWhenAClockFired(t *testing.T) {
	t.Parallel()
	p := fired[thumbParams](t)
	up, ok := p.Upload.Get()
	require.False(t, ok)
	require.Zero(t, up)
	require.Nil(t, p.Upload.Event())
}

func TestTheEventParameterSkipsTheCodecForItsKinds(t *testing.T) {
	t.Parallel()
	ev := event("1", "not JSON")
	require.Equal(t, "not JSON", taken[eventflow.EventParameter[string]](t, ev).Value)
	require.Equal(t, []byte("not JSON"), taken[eventflow.EventParameter[[]byte]](t, ev).Value)
	require.Equal(t, *ev, taken[eventflow.EventParameter[eventflow.Event]](t, ev).Value)
	require.Same(t, ev, taken[eventflow.EventParameter[*eventflow.Event]](t, ev).Value)

	_, err := call(t, into(new(thumbParams)), ev)
	var bad *eventflow.DecodeError
	require.ErrorAs(t, err, &bad)
}

func TestAnEventParameterMayBeTheWholeParameter(t *testing.T) {
	t.Parallel()
	ev := event("1", uploadJSON)
	p := taken[eventflow.EventParameter[upload]](t, ev)
	require.Equal(t, eventflow.NewEventParameter(upload{Path: "a.png", Size: 42}, ev), p)
	_, ok := fired[eventflow.EventParameter[upload]](t).Get()
	require.False(t, ok)

	f := into(new(eventflow.EventParameter[upload]))
	require.ErrorContains(t, f.CheckParameters(eventflow.Parameters{"Value": upload{}}), "only a flow whose parameter is a struct takes them")
}

func TestAnEventParameterMayBeEmbedded(t *testing.T) {
	t.Parallel()
	type params struct {
		eventflow.EventParameter[upload]

		Size int
	}
	require.Equal(t, 42, taken[params](t, event("1", uploadJSON)).Value.Size)
	b, err := json.Marshal(params{Size: 7})
	require.NoError(t, err)
	require.Contains(t, string(b), `"Size":7`, "it has no JSON methods that would hijack the struct")
}

func TestNewEventParameterIsForTests(t *testing.T) {
	t.Parallel()
	ev := event("1", "")
	up, ok := eventflow.NewEventParameter(upload{Size: 1}, ev).Get()
	require.True(t, ok)
	require.Equal(t, upload{Size: 1}, up)
	_, ok = eventflow.NewEventParameter(upload{}, nil).Get()
	require.False(t, ok)
}

func TestAFiresParametersSetTheFields(t *testing.T) {
	t.Parallel()
	var got thumbParams
	f := into(&got)
	ps := eventflow.Parameters{
		"Size": 100, "Tags": []string{"a", "b"}, "Limits": map[string][]int{"x": {1, 2}}, "Every": time.Minute,
		"Inner": map[string]int{"B": 2}, "Next": upload{Path: "n"},
	}
	require.NoError(t, f.CheckParameters(ps))
	_, err := f.Call(t.Context(), fireOf(f, ps), nil)
	require.NoError(t, err)
	want := thumbParams{Size: 100, Tags: []string{"a", "b"}, Limits: map[string][]int{"x": {1, 2}}, Every: time.Minute, Next: &upload{Path: "n"}}
	want.Inner.B = 2
	require.Equal(t, want, got)
}

func TestNoTwoRunsShareAParametersSliceMapOrPointer(t *testing.T) {
	t.Parallel()
	given := eventflow.Parameters{"Tags": []string{"a"}, "Limits": map[string][]int{"x": {1}}, "Next": &upload{Path: "n"}}
	f := eventflow.NewSink("f", func(_ context.Context, p thumbParams) error {
		if p.Tags[0] != "a" || p.Limits["x"][0] != 1 || p.Next.Path != "n" {
			return errBoom
		}
		p.Tags[0], p.Limits["x"][0], p.Next.Path = "changed", 9, "changed"
		p.Limits["y"] = nil
		return nil
	})
	for range 3 {
		_, err := f.Call(t.Context(), fireOf(f, given), nil)
		require.NoError(t, err, "a run sees what another did to its parameters")
	}
	require.Equal(t, eventflow.Parameters{"Tags": []string{"a"}, "Limits": map[string][]int{"x": {1}}, "Next": &upload{Path: "n"}}, given)
}

func TestAnEventDoesNotSetParameters(t *testing.T) {
	t.Parallel()
	var got thumbParams
	f := into(&got)
	run := runOf(f, event("1", `{}`))
	run.Fire = &eventflow.Fire{Parameters: eventflow.Parameters{"Size": 1}} // nobody makes such a run
	_, err := f.Call(t.Context(), run, nil)
	require.NoError(t, err)
	require.Zero(t, got.Size)
}

func TestParametersOfAPromotedFieldAreItsParameters(t *testing.T) {
	t.Parallel()
	type Sizes struct{ Width, Height int }
	type params struct {
		Sizes

		Name string
	}
	var got params
	f := into(&got)
	ps := eventflow.Parameters{"Width": 3, "Name": "n"}
	require.NoError(t, f.CheckParameters(ps))
	_, err := f.Call(t.Context(), fireOf(f, ps), nil)
	require.NoError(t, err)
	require.Equal(t, params{Sizes: Sizes{Width: 3}, Name: "n"}, got)

	type pointer struct{ *Sizes }
	require.ErrorContains(t, into(new(pointer)).CheckParameters(eventflow.Parameters{"Width": 3}), `"Width" is not allowed`, "there is no struct to set it in")
}

func TestParametersThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	params := into(new(thumbParams))
	for _, c := range []struct {
		what                  string
		flow                  *eventflow.Flow
		ps                    eventflow.Parameters
		field, value, allowed string
	}{
		{"an unknown name", params, eventflow.Parameters{"Sise": 1}, "flow into parameters", "Sise", "one of the fields of eventflow_test.thumbParams: Size, Tags, Limits, Every, Inner, Next"},
		{"a name in other case", params, eventflow.Parameters{"size": 1}, "flow into parameters", "size", "Size, Tags"},
		{"an unexported field", params, eventflow.Parameters{"hidden": 1}, "flow into parameters", "hidden", "Size, Tags"},
		{"the event's field", params, eventflow.Parameters{"Upload": upload{}}, "flow into parameters", "Upload", "Size, Tags"},
		{"the first of two by name", params, eventflow.Parameters{"Zoom": 1, "Alpha": 1}, "flow into parameters", "Alpha", "Size, Tags"},
		{"the wrong type", params, eventflow.Parameters{"Size": "hunter2"}, "flow into parameter Size", "a string", "what fits int8: string is no int8"},
		{"too large a number", params, eventflow.Parameters{"Size": 4321}, "flow into parameter Size", "a int", "what fits int8: number is no int8"},
		{"the wrong type inside", params, eventflow.Parameters{"Inner": map[string]any{"A": "hunter2"}}, "flow into parameter Inner", "a map[string]interface {}", "string is no int of its field A"},
		{"an unknown field inside", params, eventflow.Parameters{"Inner": map[string]any{"C": 1}}, "flow into parameter Inner", "a map[string]interface {}", `unknown field "C"`},
		{"what JSON has not", params, eventflow.Parameters{"Size": math.NaN()}, "flow into parameter Size", "a float64", "what fits int8"},
		{"a function", params, eventflow.Parameters{"Size": func() {}}, "flow into parameter Size", "a func()", "JSON has no func()"},
		{"what refuses its JSON", into(new(struct{ T time.Time })), eventflow.Parameters{"T": "hunter2"}, "flow into parameter T", "a string", "what fits time.Time"},
		{"a flow of bytes", into(new([]byte)), eventflow.Parameters{"Size": 1}, "flow into parameters", "Size", "its is []uint8"},
		{"a flow of a string", into(new(string)), eventflow.Parameters{"Size": 1}, "flow into parameters", "Size", "its is string"},
		{"a flow of a pointer", into(new(*upload)), eventflow.Parameters{"Size": 1}, "flow into parameters", "Size", "its is *eventflow_test.upload"},
		{"a flow of a pointer to an event", into(new(*eventflow.Event)), eventflow.Parameters{"ID": "1"}, "flow into parameters", "ID", "its is *eventflow.Event"},
		{"a flow of a batch", into(new(eventflow.Batch[upload])), eventflow.Parameters{"Size": 1, "A": 1}, "flow into parameters", "A, Size", "its is eventflow.Batch["},
		{"a flow of nothing", into(new(struct{})), eventflow.Parameters{"Size": 1}, "flow into parameters", "Size", "it has none"},
	} {
		require.NoError(t, c.flow.Err(), c.what)
		_, called := c.flow.Call(t.Context(), fireOf(c.flow, c.ps), nil)
		for _, err := range []error{c.flow.CheckParameters(c.ps), called} {
			var bad *eventflow.ConfigError
			require.ErrorAs(t, err, &bad, c.what)
			require.Equal(t, c.field, bad.Field, c.what)
			require.Equal(t, c.value, bad.Value, c.what)
			require.Contains(t, bad.Allowed, c.allowed, c.what)
			for _, secret := range []string{"hunter2", "4321"} {
				require.NotContains(t, err.Error(), secret, "%s: a parameter may be a secret", c.what)
			}
		}
	}
}

func TestNoParametersFitEveryFlow(t *testing.T) {
	t.Parallel()
	for _, f := range []*eventflow.Flow{into(new([]byte)), into(new(struct{})), into(new(eventflow.Batch[int])), into(new(thumbParams)), into(new(int))} {
		require.NoError(t, f.CheckParameters(nil))
		require.NoError(t, f.CheckParameters(eventflow.Parameters{}))
	}
}
