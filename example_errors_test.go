package eventflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

// What no retry mends goes to the dead letters at once.
func ExamplePermanent() {
	pay := eventflow.NewSink("pay", func(context.Context, Upload) error {
		return eventflow.Permanent(errors.New("card is closed"))
	})
	ev := uploaded
	_, err := pay.Call(context.Background(), eventflow.NewRun(pay, eventflow.Key{}, &ev), nil)
	fmt.Println(err, eventflow.IsPermanent(err))
	// Output: card is closed true
}

// "Not now" is no failure: the event is tried again after the delay, and no attempt is counted.
func ExampleBusy() {
	err := fmt.Errorf("uploading: %w", eventflow.Busy(30*time.Second))
	var busy *eventflow.BusyError
	fmt.Println(errors.As(err, &busy), busy.After)
	// Output: true 30s
}

// What needs no work is done: the event is acknowledged, nothing is published, and the reason is counted.
func ExampleSkip() {
	err := eventflow.Skip("no picture")
	var skip *eventflow.SkipError
	fmt.Println(errors.As(err, &skip), skip.Reason)
	// Output: true no picture
}

// A payload that does not fit is no failure of the function, which is not called.
func ExampleDecodeError() {
	index := eventflow.NewSink("index", func(context.Context, Upload) error { return nil })
	ev := eventflow.Event{ID: "42", Source: "shop", Data: []byte(`{"Path":7}`)}
	_, err := index.Call(context.Background(), eventflow.NewRun(index, eventflow.Key{}, &ev), nil)
	if bad, ok := errors.AsType[*eventflow.DecodeError](err); ok {
		fmt.Println(bad.Flow, bad.Source, bad.ID)
		fmt.Println(bad.Err)
	}
	// Output:
	// index shop 42
	// json: cannot unmarshal number into Go struct field Upload.Path of type string
}

func ExampleEncodeError() {
	wild := eventflow.NewSource("wild", func(context.Context) (any, error) { return map[string]any{"f": func() {}}, nil })
	_, err := wild.Call(context.Background(), eventflow.NewRun(wild, eventflow.Key{}), nil)
	var bad *eventflow.EncodeError
	fmt.Println(errors.As(err, &bad))
	fmt.Println(err)
	// Output:
	// true
	// flow "wild" cannot encode its result: json: unsupported type: func()
}

// Bad input is named, its value shown, and what is allowed said. It is final.
func ExampleConfigError() {
	_, err := eventflow.Encode(nil, Upload{})
	if bad, ok := errors.AsType[*eventflow.ConfigError](err); ok {
		fmt.Println(bad.Field)
		fmt.Println(bad.Value)
		fmt.Println(bad.Allowed)
	}
	fmt.Println("final:", errors.Is(err, eventflow.ErrFatal))
	// Output:
	// eventflow.Encode codec
	// nil
	// a Codec, such as eventflow.JSON
	// final: true
}

// A publisher says which events of a call were not taken; the others were.
func ExamplePublishError() {
	var err error = &eventflow.PublishError{Failed: []eventflow.ItemError{{Index: 1, Err: eventflow.ErrTooLarge}}}
	fmt.Println(err)
	fmt.Println("worth a retry:", !eventflow.IsPermanent(err))
	// Output:
	// 1 events were not published, the first at 1: eventflow: event is too large for its broker
	// worth a retry: false
}

func ExampleAbandonedError() {
	var err error = &eventflow.AbandonedError{Flow: "thumbnail", Runs: []string{"thumbnail/uploads/shop/42"}}
	fmt.Println(errors.Is(err, eventflow.ErrAbandoned))
	fmt.Println(err)
	// Output:
	// true
	// eventflow: flows ignored their context: flow "thumbnail": thumbnail/uploads/shop/42
}

// An outcome that is final is remembered: the next delivery of the same event is a duplicate.
func ExampleOutcome() {
	for _, o := range []eventflow.Outcome{eventflow.Succeeded, eventflow.DeadLettered, eventflow.Duplicate, eventflow.HandedBack} {
		fmt.Println(o, o.Final())
	}
	// Output:
	// succeeded true
	// dead-lettered true
	// duplicate false
	// handed back false
}
