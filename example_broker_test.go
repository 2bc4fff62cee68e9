package eventflow_test

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// Traced is a layer over any broker.
type Traced struct{ eventflow.Broker }

// Unwrap lets As look through it.
func (t Traced) Unwrap() eventflow.Broker { return t.Broker }

// As finds what a broker can do beyond Broker, through all layers.
func ExampleAs() {
	mem := broker.NewMemory(broker.Declare("uploads", "thumbs"))
	var b eventflow.Broker = Traced{mem}

	if lister, ok := eventflow.As[eventflow.TopicLister](b); ok {
		topics, err := lister.Topics(context.Background())
		fmt.Println(topics, err)
	}
	own, ok := eventflow.As[*broker.Memory](b)
	fmt.Println(ok, own == mem)
	// Output:
	// [thumbs uploads] <nil>
	// true true
}

// Each group sees every event; the consumers of one compete.
func ExampleGroup() {
	ctx := context.Background()
	mem := broker.NewMemory()
	index := mem.Subscriber("uploads", eventflow.Group("index"))
	thumbs := mem.Subscriber("uploads", eventflow.Group("thumbs"))
	if err := mem.Publisher("uploads").Publish(ctx, eventflow.Event{ID: "42"}); err != nil {
		fmt.Println(err)
	}
	for _, s := range []eventflow.Subscriber{index, thumbs} {
		ds, err := s.Next(ctx, eventflow.Want{Events: 1})
		fmt.Println(s, ds[0].Event.ID, err)
	}
	fmt.Println(eventflow.Group("").ApplySubscriber(&eventflow.SubscriberConfig{}))
	// Output:
	// memory/uploads?group=index 42 <nil>
	// memory/uploads?group=thumbs 42 <nil>
	// eventflow.Group: "" is not allowed: a name
}

// A scheme is a value: a program opens only the brokers that it names.
func ExampleScheme() {
	b, err := broker.Open(context.Background(), "memory://?lease=5s", broker.Scheme)
	fmt.Println(b.Features().MaxLock, err)
	_, err = broker.Open(context.Background(), "kafka://user:secret@host", broker.Scheme)
	fmt.Println(err)
	// Output:
	// 5s <nil>
	// broker.Open URL: "kafka" is not allowed: one of the schemes given: memory
}

// Attributes are in order, and names may repeat, because Kafka's do.
func ExampleAttributes() {
	as := eventflow.Attributes{{Name: "trace", Value: "a1"}, {Name: "shard", Value: int32(7)}, {Name: "trace", Value: "b2"}}
	shard, ok := as.Get("shard")
	fmt.Println(as.String("trace"), shard, ok)
	fmt.Println(as.Without("trace"))
	// Output:
	// a1 7 true
	// [{shard 7}]
}
