package eventflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// handedOver publishes n events to a broker in memory and receives them again.
func handedOver(n int) ([]*eventflow.Delivery, *broker.Memory) {
	ctx := context.Background()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")
	if err := mem.Publisher("uploads").Publish(ctx, make([]eventflow.Event, n)...); err != nil {
		fmt.Println(err)
	}
	ds, err := uploads.Next(ctx, eventflow.Want{Events: n})
	if err != nil {
		fmt.Println(err)
	}
	return ds, mem
}

// The first settlement wins; whoever comes later does no harm.
func ExampleDelivery() {
	ds, mem := handedOver(1)
	d := ds[0]
	fmt.Println("open:", d.Open())
	d.Ack()
	d.Nack(time.Minute)
	fmt.Println("open:", d.Open())
	fmt.Println("acknowledged:", mem.Stats("uploads", "").Acked)
	// Output:
	// open: true
	// open: false
	// acknowledged: 1
}

// A dead letter is the only settlement that waits, and the only one that can fail: then the delivery is still open.
func ExampleDelivery_DeadLetter() {
	ds, mem := handedOver(1)
	err := ds[0].DeadLetter(context.Background(), eventflow.Failure{Reason: "permanent", Flow: "thumbnail", Attempts: 1})
	fmt.Println(err, mem.DeadLetters("uploads")[0].Reason)

	var own eventflow.Delivery // from a clock of one's own: no broker stands behind it
	err = own.DeadLetter(context.Background(), eventflow.Failure{})
	fmt.Println(errors.Is(err, eventflow.ErrNoDeadLetters), own.Open())
	// Output:
	// <nil> permanent
	// true true
}

// SettleAll tells each broker once.
func ExampleSettleAll() {
	ds, mem := handedOver(10)
	ds[3].Release(0)
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	st := mem.Stats("uploads", "")
	fmt.Println(st.Acked, "acknowledged,", st.Queued, "handed back")
	// Output: 9 acknowledged, 1 handed back
}

// Desk is the least that a broker has under its deliveries.
type Desk struct{}

// Settle writes down; a broker would send it later and then call Listening.Settled.
func (*Desk) Settle(ds []*eventflow.Delivery, s eventflow.Settlement) {
	for _, d := range ds {
		fmt.Println(s.Verb, d.Token())
	}
}

// Attempted notes a failed run.
func (*Desk) Attempted(ds []*eventflow.Delivery) { fmt.Println("attempted", ds[0].Token()) }

// DeadLetter has nowhere to write one.
func (*Desk) DeadLetter(context.Context, *eventflow.Delivery, eventflow.Failure) error {
	return eventflow.ErrNoDeadLetters
}

// A broker binds what it hands over.
func ExampleSettler() {
	d := &eventflow.Delivery{Event: eventflow.Event{ID: "42"}}
	d.Bind(&Desk{}, 7)
	d.Attempted() // a run failed, the event stays for the next
	d.Ack()
	// Output:
	// attempted 7
	// ack 7
}
