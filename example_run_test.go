package eventflow_test

import (
	"context"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A flow asks for its run: for an idempotency key, its attempt, what started it.
func ExampleRunFrom() {
	charge := eventflow.NewSink("charge", func(ctx context.Context, _ Upload) error {
		run := eventflow.RunFrom(ctx)
		fmt.Println("idempotency key:", run.ID())
		fmt.Println("attempt:", run.Attempt)
		fmt.Println("event of:", run.Event().Source)
		return nil
	})
	start(charge, uploaded)

	// Never nil: a flow can be called in a plain test.
	fmt.Println("outside a run:", eventflow.RunFrom(context.Background()).Attempt)
	// Output:
	// idempotency key: charge/uploads/shop/42
	// attempt: 1
	// event of: shop
	// outside a run: 0
}

// Tests of flows that ask for their run give them one.
func ExampleWithRun() {
	limited := func(ctx context.Context) string {
		if eventflow.RunFrom(ctx).Attempt > 3 {
			return "the slow way"
		}
		return "the quick way"
	}
	ctx := context.Background()
	fmt.Println(limited(ctx))
	fmt.Println(limited(eventflow.WithRun(ctx, &eventflow.Run{Attempt: 4})))
	// Output:
	// the quick way
	// the slow way
}

// A key names a run for ever. Characters that separate its parts are escaped inside them.
func ExampleKey() {
	fmt.Println(eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "shop", ID: "42"})
	fmt.Println(eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "/shop/eu", ID: "42", Redrive: 1})
	// Output:
	// thumbnail/uploads/shop/42
	// thumbnail/uploads/%2Fshop%2Feu/42#1
}

// Replicas that compute the same fire compute the same key.
func ExampleFireKey() {
	cet := time.FixedZone("CET", 3600)
	key := eventflow.FireKey("report", "nightly", time.Date(2026, time.March, 1, 4, 0, 0, 0, cet))
	fmt.Println(key)
	fmt.Println(key == eventflow.FireKey("report", "nightly", time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)))
	fmt.Println(key.Nominal())
	// Output:
	// report/nightly@2026-03-01T03:00:00Z
	// true
	// 2026-03-01 03:00:00 +0000 UTC true
}

// What one trigger brings may be in another format than the flow's own.
func ExampleCodecs() {
	f := eventflow.NewFlow("echo", func(_ context.Context, l Line) (Line, error) { return l, nil })
	run := eventflow.NewRun(f, eventflow.Key{}, &eventflow.Event{Data: []byte("HO")})
	run.UseCodecs(&eventflow.Codecs{Decode: Upper{}})
	out, err := f.Call(context.Background(), run, nil)
	fmt.Println(string(out[0].Data), err)
	// Output: "ho" <nil>
}
