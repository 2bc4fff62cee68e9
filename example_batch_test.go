package eventflow_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventflow-go/eventflow"
)

// batchOf calls a flow for several events at once.
func batchOf(f *eventflow.Flow, payloads ...string) ([]eventflow.Event, error) {
	var events []*eventflow.Event
	for i, p := range payloads {
		events = append(events, &eventflow.Event{ID: fmt.Sprint("upload-", i), Source: "shop", Data: []byte(p)})
	}
	run := eventflow.NewRun(f, eventflow.Key{Flow: f.Name(), Binding: "uploads", Source: "shop", ID: "upload-0"}, events...)
	return f.Call(context.Background(), run, nil)
}

// A flow of a Batch takes many events in one run: one request or one transaction for all.
func ExampleBatch() {
	total := eventflow.NewFlow("total", func(_ context.Context, b eventflow.Batch[int]) (int, error) {
		sum := 0
		for _, item := range b {
			fmt.Println(item.Event.ID, item.Value)
			sum += item.Value
		}
		return sum, nil
	})
	out, err := batchOf(total, "1", "2", "3")
	fmt.Println(string(out[0].Data), err)
	// Output:
	// upload-0 1
	// upload-1 2
	// upload-2 3
	// 6 <nil>
}

// A BatchError says which items failed: they are tried again, the others are done. One that cannot be decoded fails
// alone, and the indexes are made those of the run.
func ExampleBatchError() {
	index := eventflow.NewSink("index", func(_ context.Context, b eventflow.Batch[Upload]) error {
		var failed eventflow.BatchError
		for i, up := range b.Values() {
			if up.Path == "" {
				failed.Add(i, errors.New("no path"))
			}
		}
		return failed.Err() // nil when nothing was added
	})
	_, err := batchOf(index, `{"Path":"a.png"}`, `not JSON`, `{}`, `{"Path":"b.png"}`)
	if failed, ok := errors.AsType[*eventflow.BatchError](err); ok {
		for _, item := range failed.Items {
			fmt.Println(item.Index, item.Err)
		}
	}
	// Output:
	// 1 flow "index" cannot decode event "upload-1" of "shop": invalid character 'o' in literal null (expecting 'u')
	// 2 no path
}

// A plain slice is one payload; a Many publishes each of its elements.
func ExampleMany() {
	split := eventflow.NewFlow("split", func(_ context.Context, ups []Upload) (eventflow.Many[Upload], error) {
		return ups, nil
	})
	start(split, eventflow.Event{Data: []byte(`[{"Path":"a.png"},{"Path":"b.png"}]`)})
	// Output:
	// publishes {"Path":"a.png"}
	// publishes {"Path":"b.png"}
}
