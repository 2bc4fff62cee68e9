package eventflow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// Upload and Thumb are payloads: whatever the codec knows.
type (
	Upload struct{ Path string }
	Thumb  struct{ Path, Of string }
)

// start calls a flow for an event, as a runner does for each that arrives, and prints what it publishes.
func start(f *eventflow.Flow, ev eventflow.Event) {
	run := eventflow.NewRun(f, eventflow.Key{Flow: f.Name(), Binding: "uploads", Source: ev.Source, ID: ev.ID}, &ev)
	out, err := f.Call(eventflow.WithRun(context.Background(), run), run, nil)
	if err != nil {
		fmt.Println("error:", err)
	}
	for _, ev := range out {
		fmt.Printf("publishes %s\n", ev.Data)
	}
}

// fire calls a flow for a clock's fire.
func fire(f *eventflow.Flow, ps eventflow.Parameters) {
	nominal := at("2026-03-01T03:00:00Z")
	run := eventflow.NewRun(f, eventflow.FireKey(f.Name(), "nightly", nominal))
	run.Fire = &eventflow.Fire{Clock: "nightly", Nominal: nominal, Parameters: ps}
	if _, err := f.Call(eventflow.WithRun(context.Background(), run), run, nil); err != nil {
		fmt.Println("error:", err)
	}
}

var uploaded = eventflow.Event{ID: "42", Source: "shop", Data: []byte(`{"Path":"a.png"}`)}

// A flow with a parameter and a result: the next flow's event.
func ExampleNewFlow() {
	thumbnail := eventflow.NewFlow("thumbnail", func(_ context.Context, up Upload) (Thumb, error) {
		return Thumb{Path: "small/" + up.Path, Of: up.Path}, nil
	})
	start(thumbnail, uploaded)
	// Output: publishes {"Path":"small/a.png","Of":"a.png"}
}

// The kinds []byte, string and Event skip the codec: the payload arrives as it was sent.
func ExampleNewFlow_withoutCodec() {
	shout := eventflow.NewFlow("shout", func(_ context.Context, text string) (string, error) {
		return strings.ToUpper(text), nil
	})
	start(shout, eventflow.Event{Data: []byte("not JSON")})
	// Output: publishes NOT JSON
}

func ExampleNewSink() {
	index := eventflow.NewSink("index", func(_ context.Context, up Upload) error {
		fmt.Println("indexing", up.Path)
		return nil
	})
	start(index, uploaded)
	// Output: indexing a.png
}

// An event that starts a source is only the signal.
func ExampleNewSource() {
	report := eventflow.NewSource("report", func(context.Context) (map[string]int, error) {
		return map[string]int{"uploads": 7}, nil
	})
	start(report, uploaded)
	// Output: publishes {"uploads":7}
}

func ExampleNewJob() {
	sweep := eventflow.NewJob("sweep", func(ctx context.Context) error {
		fmt.Println("sweeping for", eventflow.RunFrom(ctx).Fire.Nominal)
		return nil
	})
	fire(sweep, nil)
	// Output: sweeping for 2026-03-01 03:00:00 +0000 UTC
}

// A definition never panics: it says what is wrong with it, and runner.New returns that.
func ExampleFlow_Err() {
	f := eventflow.NewFlow[Upload, chan int]("", nil)
	fmt.Println(f.Err())
	// Output:
	// flow name: "" is not allowed: 1 to 128 bytes of UTF-8 without control characters
	// flow  function: "nil" is not allowed: a function
	// flow  result: "chan int" is not allowed: a type with a payload: a struct, []byte, string, eventflow.Event, eventflow.Batch, eventflow.Many
}

// Call is one attempt, for a scheduler of one's own and for tests.
func ExampleFlow_Call() {
	double := eventflow.NewFlow("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }, eventflow.Version("v2"))
	run := eventflow.NewRun(double, eventflow.Key{Flow: "double", Binding: "test", Source: "test", ID: "1"}, &eventflow.Event{Data: []byte("21")})
	out, err := double.Call(context.Background(), run, nil)
	fmt.Println(string(out[0].Data), out[0].Source, out[0].DataContentType, err)

	again, _ := double.Call(context.Background(), run, nil)
	fmt.Println("the same ID on every attempt:", again[0].ID == out[0].ID)
	// Output:
	// 42 eventflow/double application/json <nil>
	// the same ID on every attempt: true
}

// Upper is a codec of texts that writes capitals.
type Upper struct{}

// ContentType is that of plain text.
func (Upper) ContentType() string { return "text/plain" }

// Decode sets a Line.
func (Upper) Decode(ev *eventflow.Event, v any) error {
	line, ok := v.(*Line)
	if !ok {
		return fmt.Errorf("%T is no *Line", v)
	}
	*line = Line(strings.ToLower(string(ev.Data)))
	return nil
}

// Encode takes a Line.
func (Upper) Encode(v any) ([]byte, error) {
	line, ok := v.(Line)
	if !ok {
		return nil, errors.New("no Line")
	}
	return []byte(strings.ToUpper(string(line))), nil
}

// Line is a payload of Upper.
type Line string

func ExampleCodec() {
	f := eventflow.NewFlow("echo", func(_ context.Context, l Line) (Line, error) {
		return l + " " + l, nil
	}, eventflow.WithCodec(Upper{}))
	start(f, eventflow.Event{Data: []byte("HO")})
	// Output: publishes HO HO
}

// Encode makes the event that a flow will decode.
func ExampleEncode() {
	ev, err := eventflow.Encode(eventflow.JSON, Upload{Path: "a.png"})
	fmt.Println(string(ev.Data), ev.DataContentType, err)

	ev, err = eventflow.Encode(eventflow.JSON, []byte("taken as it is"))
	fmt.Println(string(ev.Data), err)
	// Output:
	// {"Path":"a.png"} application/json <nil>
	// taken as it is <nil>
}
