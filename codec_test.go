package eventflow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// rot13 is a codec of strings that nobody takes for JSON.
type rot13 struct{ name string }

func (c *rot13) ContentType() string { return "text/rot13" + c.name }

func (c *rot13) Decode(ev *eventflow.Event, v any) error {
	s, ok := v.(*word)
	if !ok {
		return errBoom
	}
	*s = word(turn(ev.Data))
	return nil
}

func (c *rot13) Encode(v any) ([]byte, error) {
	s, ok := v.(word)
	if !ok {
		return nil, errBoom
	}
	return turn([]byte(s)), nil
}

// word is a string that does not skip the codec, because it has a name.
type word string

func turn(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return r
		}
		return 'a' + (r-'a'+13)%26
	}, b)
}

func TestJSONIgnoresUnknownFieldsAndRefusesTrailingData(t *testing.T) {
	t.Parallel()
	var up upload
	require.NoError(t, eventflow.JSON.Decode(event("1", uploadJSON), &up))
	require.Equal(t, upload{Path: "a.png", Size: 42}, up)
	require.Error(t, eventflow.JSON.Decode(event("1", `{} {}`), &up))
	require.Error(t, eventflow.JSON.Decode(event("1", ``), &up))
}

func TestACodecDoesNotKeepThePayload(t *testing.T) {
	t.Parallel()
	ev := event("1", `{"Path":"a.png"}`)
	var raw json.RawMessage
	require.NoError(t, eventflow.JSON.Decode(ev, &raw))
	raw[0] = 'X'
	require.Equal(t, byte('{'), ev.Data[0])
}

func TestEncodeTakesTheKindsWithoutACodecAsTheyAre(t *testing.T) {
	t.Parallel()
	ev := eventflow.Event{ID: "1", Subject: "s", Data: []byte("x"), DataContentType: "text/plain"}
	for _, c := range []struct {
		what string
		v    any
		want eventflow.Event
	}{
		{"bytes", []byte("raw"), eventflow.Event{Data: []byte("raw")}},
		{"string", "raw", eventflow.Event{Data: []byte("raw")}},
		{"event", ev, ev},
		{"pointer to event", &ev, ev},
	} {
		for _, codec := range []eventflow.Codec{eventflow.JSON, nil} {
			got, err := eventflow.Encode(codec, c.v)
			require.NoError(t, err, c.what)
			require.Equal(t, c.want, got, c.what)
		}
	}
}

func TestEncodeSetsTheCodecsContentType(t *testing.T) {
	t.Parallel()
	got, err := eventflow.Encode(eventflow.JSON, upload{Path: "a.png", Size: 42})
	require.NoError(t, err)
	require.Equal(t, eventflow.Event{Data: []byte(`{"Path":"a.png","Size":42}`), DataContentType: "application/json"}, got)

	got, err = eventflow.Encode(&rot13{}, word("abc"))
	require.NoError(t, err)
	require.Equal(t, eventflow.Event{Data: []byte("nop"), DataContentType: "text/rot13"}, got)
}

func TestEncodeRefusesWhatIsNothing(t *testing.T) {
	t.Parallel()
	var none *rot13
	for what, err := range map[string]error{
		"eventflow.Encode codec": second(eventflow.Encode(nil, 1)),
		"eventflow.Encode value": second(eventflow.Encode(eventflow.JSON, (*eventflow.Event)(nil))),
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, what, bad.Field)
	}
	var bad *eventflow.ConfigError
	require.ErrorAs(t, second(eventflow.Encode(none, 1)), &bad, "a nil of a type is nil")
	require.ErrorIs(t, second(eventflow.Encode(&rot13{}, 1)), errBoom, "the codec's error passes through")
}

func second(_ eventflow.Event, err error) error { return err }

func TestAFlowsCodecDecodesAndEncodes(t *testing.T) {
	t.Parallel()
	f := eventflow.NewFlow("f", func(_ context.Context, w word) (word, error) { return w + "!", nil }, eventflow.WithCodec(&rot13{}))
	out, err := call(t, f, event("1", "nop"))
	require.NoError(t, err)
	require.Len(t, out, 1)
	require.Equal(t, "nop!", string(out[0].Data), "abc! again in the codec")
	require.Equal(t, "text/rot13", out[0].DataContentType)
}

func TestARunsCodecsComeBeforeTheFlows(t *testing.T) {
	t.Parallel()
	type wordParams struct {
		W eventflow.EventParameter[word]
	}
	flows := []*eventflow.Flow{
		eventflow.NewFlow("value", func(_ context.Context, w word) (word, error) { return w, nil }),
		eventflow.NewFlow("parameter", func(_ context.Context, p wordParams) (word, error) { return p.W.Value, nil }),
		eventflow.NewFlow("batch", func(_ context.Context, b eventflow.Batch[word]) (word, error) { return b[0].Value, nil }),
	}
	for _, f := range flows {
		require.NoError(t, f.Err())
		for _, c := range []struct {
			codecs        *eventflow.Codecs
			in, out, kind string
		}{
			{nil, `"abc"`, `"abc"`, "application/json"},
			{&eventflow.Codecs{}, `"abc"`, `"abc"`, "application/json"},
			{&eventflow.Codecs{Decode: &rot13{}}, `nop`, `"abc"`, "application/json"},
			{&eventflow.Codecs{Encode: &rot13{}}, `"abc"`, `nop`, "text/rot13"},
			{&eventflow.Codecs{Decode: &rot13{}, Encode: &rot13{name: "+"}}, `nop`, `nop`, "text/rot13+"},
		} {
			run := runOf(f, event("1", c.in))
			run.UseCodecs(c.codecs)
			out, err := f.Call(t.Context(), run, nil)
			require.NoError(t, err, f.Name())
			require.Len(t, out, 1)
			require.Equal(t, c.out, string(out[0].Data), f.Name())
			require.Equal(t, c.kind, out[0].DataContentType, f.Name())
		}
	}
}

func TestKindsThatSkipTheCodecNeverMeetIt(t *testing.T) {
	t.Parallel()
	refuses := eventflow.WithCodec(&rot13{}) // it knows words only
	for _, f := range []*eventflow.Flow{
		eventflow.NewFlow("bytes", func(_ context.Context, p []byte) ([]byte, error) { return p, nil }, refuses),
		eventflow.NewFlow("string", func(_ context.Context, p string) (string, error) { return p, nil }, refuses),
		eventflow.NewFlow("event", func(_ context.Context, p eventflow.Event) (eventflow.Event, error) { return p, nil }, refuses),
		eventflow.NewFlow("pointer", func(_ context.Context, p *eventflow.Event) (*eventflow.Event, error) { return p, nil }, refuses),
		eventflow.NewFlow("many", func(_ context.Context, p eventflow.Batch[string]) (eventflow.Many[string], error) {
			return eventflow.Many[string](p.Values()), nil
		}, refuses),
		eventflow.NewFlow("parameter", func(_ context.Context, p eventflow.EventParameter[[]byte]) ([]byte, error) { return p.Value, nil }, refuses),
	} {
		out, err := call(t, f, event("1", "payload"))
		require.NoError(t, err, f.Name())
		require.Len(t, out, 1, f.Name())
		require.Equal(t, "payload", string(out[0].Data), f.Name())
		require.Empty(t, out[0].DataContentType, f.Name())
	}
}
