package eventflow_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/eventflow-go/eventflow"
)

const benchJSON = `{"Path":"a/b/c.png","Size":42}`

type benchParams struct {
	Upload eventflow.EventParameter[upload]
	Size   int
}

// benchCall times one Call of f for events.
func benchCall(b *testing.B, f *eventflow.Flow, events ...*eventflow.Event) {
	b.Helper()
	benchRun(b, f, runOf(f, events...))
}

func benchRun(b *testing.B, f *eventflow.Flow, run *eventflow.Run) {
	b.Helper()
	if err := f.Err(); err != nil {
		b.Fatal(err)
	}
	buf := make([]eventflow.Event, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Call(b.Context(), run, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// drop is a sink that does nothing.
func drop[P any]() *eventflow.Flow {
	return eventflow.NewSink("drop", func(context.Context, P) error { return nil })
}

// pass is a flow that returns what it takes.
func pass[P any]() *eventflow.Flow {
	return eventflow.NewFlow("pass", func(_ context.Context, p P) (P, error) { return p, nil })
}

func BenchmarkCallBytesSink(b *testing.B) { benchCall(b, drop[[]byte](), event("1", benchJSON)) }

func BenchmarkCallStringSink(b *testing.B) { benchCall(b, drop[string](), event("1", benchJSON)) }

func BenchmarkCallEventSink(b *testing.B) {
	benchCall(b, drop[eventflow.Event](), event("1", benchJSON))
}

func BenchmarkCallEventPointerSink(b *testing.B) {
	benchCall(b, drop[*eventflow.Event](), event("1", benchJSON))
}

func BenchmarkCallJob(b *testing.B) { benchCall(b, drop[struct{}](), event("1", benchJSON)) }

func BenchmarkCallBytesToBytes(b *testing.B) { benchCall(b, pass[[]byte](), event("1", benchJSON)) }

func BenchmarkCallStringToString(b *testing.B) { benchCall(b, pass[string](), event("1", benchJSON)) }

func BenchmarkCallEventToEvent(b *testing.B) {
	benchCall(b, pass[eventflow.Event](), event("1", benchJSON))
}

func BenchmarkCallBytesBatch(b *testing.B) {
	benchCall(b, drop[eventflow.Batch[[]byte]](), numbers(benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON)...)
}

// The yardstick of a JSON payload is encoding/json alone, in the same run: the flow's part is what is above it.
func BenchmarkCallJSONSink(b *testing.B) {
	b.Run("flow", func(b *testing.B) { benchCall(b, drop[upload](), event("1", benchJSON)) })
	b.Run("json", func(b *testing.B) { benchDecode(b, 1) })
}

func BenchmarkCallJSONPointerSink(b *testing.B) {
	b.Run("flow", func(b *testing.B) { benchCall(b, drop[*upload](), event("1", benchJSON)) })
	b.Run("json", func(b *testing.B) { benchDecode(b, 1) })
}

func BenchmarkCallParameterSink(b *testing.B) {
	b.Run("flow", func(b *testing.B) { benchCall(b, drop[benchParams](), event("1", benchJSON)) })
	b.Run("json", func(b *testing.B) { benchDecode(b, 1) })
}

func BenchmarkCallJSONBatch(b *testing.B) {
	evs := numbers(benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON, benchJSON)
	b.Run("flow", func(b *testing.B) { benchCall(b, drop[eventflow.Batch[upload]](), evs...) })
	b.Run("json", func(b *testing.B) { benchDecode(b, len(evs)) })
}

func BenchmarkCallJSONToJSON(b *testing.B) {
	b.Run("flow", func(b *testing.B) { benchCall(b, pass[upload](), event("1", benchJSON)) })
	b.Run("json", func(b *testing.B) {
		data := []byte(benchJSON)
		b.ReportAllocs()
		for b.Loop() {
			var up upload
			if err := json.Unmarshal(data, &up); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(up); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCallMany(b *testing.B) {
	ups := make(eventflow.Many[upload], 8)
	b.Run("flow", func(b *testing.B) {
		benchCall(b, eventflow.NewSource("many", func(context.Context) (eventflow.Many[upload], error) { return ups, nil }))
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range ups {
				if _, err := json.Marshal(ups[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkCallFireWithParameters(b *testing.B) {
	f := drop[benchParams]()
	b.Run("flow", func(b *testing.B) { benchRun(b, f, fireOf(f, eventflow.Parameters{"Size": 128})) })
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data, err := json.Marshal(any(128))
			if err != nil {
				b.Fatal(err)
			}
			var size int
			if err := json.Unmarshal(data, &size); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchDecode times encoding/json alone, n payloads an operation.
func benchDecode(b *testing.B, n int) {
	b.Helper()
	data := []byte(benchJSON)
	b.ReportAllocs()
	for b.Loop() {
		for range n {
			var up upload
			if err := json.Unmarshal(data, &up); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkKeyString(b *testing.B) {
	key := eventflow.Key{Flow: "thumbnail", Binding: "memory/uploads", Source: "shop", ID: "42"}
	b.ReportAllocs()
	for b.Loop() {
		_ = key.String()
	}
}

func BenchmarkRunFrom(b *testing.B) {
	ctx := eventflow.WithRun(b.Context(), runOf(drop[[]byte]()))
	b.ReportAllocs()
	for b.Loop() {
		_ = eventflow.RunFrom(ctx)
	}
}

func BenchmarkSettleAll(b *testing.B) {
	var to deaf
	ds := make([]*eventflow.Delivery, 32)
	b.ReportAllocs()
	for b.Loop() {
		slab := make([]eventflow.Delivery, len(ds)) // they settle once
		for i := range slab {
			slab[i].Bind(&to, 0)
			ds[i] = &slab[i]
		}
		eventflow.SettleAll(ds, ack)
	}
}
