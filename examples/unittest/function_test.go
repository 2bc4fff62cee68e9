package unittest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/examples/unittest"
)

// A flow is a function: most of its tests need nothing else.
func TestFunctionRendersTheUpload(t *testing.T) {
	t.Parallel()
	thumbs := unittest.Thumbnails{Images: &images{}}
	got, err := thumbs.Make(t.Context(), unittest.Params{
		Upload: eventflow.NewEventParameter(unittest.Upload{Path: "cat.png"}, &eventflow.Event{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []unittest.Thumb{{Of: "cat.png", Size: 64}}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestFunctionSweepsWhatIsStaleWhenAClockFired(t *testing.T) {
	t.Parallel()
	thumbs := unittest.Thumbnails{Images: &images{stale: []string{"a.png", "b.png"}}}
	got, err := thumbs.Make(t.Context(), unittest.Params{Size: 128}) // the empty parameter: no event
	if err != nil {
		t.Fatal(err)
	}
	if want := []unittest.Thumb{{Of: "a.png", Size: 128}, {Of: "b.png", Size: 128}}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestFunctionMarksWhatNoRetryMends(t *testing.T) {
	t.Parallel()
	thumbs := unittest.Thumbnails{Images: &images{
		render: func(context.Context, int) error { return unittest.ErrNoImage },
		stale:  []string{"notes.txt"},
	}}
	if _, err := thumbs.Make(t.Context(), unittest.Params{}); !eventflow.IsPermanent(err) || !errors.Is(err, unittest.ErrNoImage) {
		t.Fatalf("got %v, want a permanent %v", err, unittest.ErrNoImage)
	}
}

// Call adds the codec: what arrives as bytes, and what leaves as bytes.
func TestCallDecodesTheEventAndEncodesTheResult(t *testing.T) {
	t.Parallel()
	flow := unittest.Thumbnails{Images: &images{}}.Flow()
	ev := eventflow.Event{ID: "1", Source: "camera", Key: "cats", Data: []byte(`{"path":"cat.png"}`)}
	got, err := flow.Call(t.Context(), eventflow.NewRun(flow, eventflow.Key{Flow: flow.Name(), ID: ev.ID}, &ev), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || string(got[0].Data) != `{"of":"cat.png","size":64}` {
		t.Fatalf("got %+v, want one thumb of cat.png", got)
	}
	if got[0].Type != "thumbnail" || got[0].Key != "cats" || got[0].DataContentType != "application/json" {
		t.Errorf("got an event of type %q, key %q, content type %q", got[0].Type, got[0].Key, got[0].DataContentType)
	}
}

func TestCallSaysThatThePayloadDoesNotFit(t *testing.T) {
	t.Parallel()
	flow := unittest.Thumbnails{Images: &images{}}.Flow()
	ev := eventflow.Event{ID: "1", Data: []byte(`{"path":7}`)}
	_, err := flow.Call(t.Context(), eventflow.NewRun(flow, eventflow.Key{}, &ev), nil)
	var decode *eventflow.DecodeError
	if !errors.As(err, &decode) || decode.ID != "1" {
		t.Fatalf("got %v, want a DecodeError of event 1", err)
	}
}

func TestCallSetsTheParametersOfAClock(t *testing.T) {
	t.Parallel()
	flow := unittest.Thumbnails{Images: &images{stale: []string{"a.png"}}}.Flow()
	at := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	run := eventflow.NewRun(flow, eventflow.FireKey(flow.Name(), "nightly", at))
	run.Fire = &eventflow.Fire{Clock: "nightly", Nominal: at, Parameters: eventflow.Parameters{"Size": 128}}
	got, err := flow.Call(t.Context(), run, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || string(got[0].Data) != `{"of":"a.png","size":128}` {
		t.Fatalf("got %+v, want one thumb of 128 pixels", got)
	}
}
