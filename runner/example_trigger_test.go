package runner_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// Events of several topics start one flow.
func ExampleOn() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	send(mem, "imports", "b.png")
	r := listen(mem, eventflow.NewSink("index", func(ctx context.Context, _ string) error {
		return eventflow.Skip(eventflow.RunFrom(ctx).Key.Binding) // so that the counts show it
	}), runner.On(mem.Subscriber("uploads")), runner.On(mem.Subscriber("imports")))
	for _, trigger := range []string{"memory/uploads", "memory/imports"} {
		fmt.Println(trigger, r.Counts().Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: trigger}])
	}
	// Output:
	// memory/uploads 1
	// memory/imports 1
}

// Folder is an event clock of one's own: it sees files, and ends.
type Folder struct{ files []string }

// Next hands over what there is. It binds nothing: nobody wants to know how the files were settled.
func (f *Folder) Next(context.Context, eventflow.Want) ([]*eventflow.Delivery, error) {
	if len(f.files) == 0 {
		return nil, eventflow.ErrEnd
	}
	name := f.files[0]
	f.files = f.files[1:]
	return []*eventflow.Delivery{{Lane: "folder", Event: eventflow.Event{ID: name, Source: "folder", Data: []byte(name)}}}, nil
}

// When every clock has ended, Listen finishes the runs and returns nil.
func ExampleOn_clockOfOnesOwn() {
	r, err := runner.New(printing, runner.On(&Folder{files: []string{"a.png", "b.png"}}, runner.Named("folder")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Listen(context.Background()))
	// Output:
	// index has a.png
	// index has b.png
	// <nil>
}

// A clock sets the parameters of its fires. This one has a single date, so Listen returns after it.
func ExampleAt() {
	type Params struct {
		Upload eventflow.EventParameter[string]
		Size   int
	}
	thumbnail := eventflow.NewSink("thumbnail", func(ctx context.Context, p Params) error {
		_, ok := p.Upload.Get()
		run := eventflow.RunFrom(ctx)
		fmt.Println("an upload:", ok, "size:", p.Size, "clock:", run.Fire.Clock, run.Fire.Labels)
		return nil
	})
	r, err := runner.New(thumbnail,
		runner.At(eventflow.Dates(time.Now().Add(10*time.Millisecond)),
			runner.Named("once"),
			runner.With(eventflow.Parameters{"Size": 128}),
			runner.Labels("demo"),
		),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Listen(context.Background()))
	// Output:
	// an upload: false size: 128 clock: once [demo]
	// <nil>
}

// New checks the parameters of a clock.
func ExampleWith() {
	type Params struct{ Size int }
	thumbnail := eventflow.NewSink("thumbnail", func(context.Context, Params) error { return nil })
	_, err := runner.New(thumbnail, runner.At(eventflow.Every(time.Hour), runner.With(eventflow.Parameters{"Width": 128})))
	fmt.Println(err)
	// Output: flow thumbnail parameters: "Width" is not allowed: one of the fields of runner_test.Params: Size
}

// The name is part of the key of every run: events that the trigger has seen are known by it.
func ExampleNamed() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	listen(mem, eventflow.NewSink("index", func(ctx context.Context, _ string) error {
		fmt.Println(eventflow.RunFrom(ctx).ID())
		return nil
	}), runner.On(mem.Subscriber("uploads"), runner.Named("incoming")))
	// Output: index/incoming/shop/a.png
}

// What the filter drops is acknowledged, not run, and counted.
func ExampleFilter() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png", "notes.txt", "b.png")
	r := listen(mem, printing, runner.On(mem.Subscriber("uploads"),
		runner.Filter(func(ev *eventflow.Event) bool { return strings.HasSuffix(ev.ID, ".png") })))
	fmt.Println("skipped:", r.Counts().Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "filter"}])
	// Output:
	// index has a.png
	// index has b.png
	// skipped: 1
}

// Lines is a codec of lines.
type Lines struct{}

// ContentType is that of plain text.
func (Lines) ContentType() string { return "text/plain" }

// Decode splits a payload.
func (Lines) Decode(ev *eventflow.Event, v any) error {
	list, ok := v.(*[]string)
	if !ok {
		return fmt.Errorf("%T is no list of lines", v)
	}
	*list = strings.Split(string(ev.Data), "\n")
	return nil
}

// Encode joins lines.
func (Lines) Encode(v any) ([]byte, error) {
	list, ok := v.([]string)
	if !ok {
		return nil, fmt.Errorf("%T is no list of lines", v)
	}
	return []byte(strings.Join(list, "\n")), nil
}

// One topic may speak another format than the flow.
func ExampleWithCodec() {
	mem := broker.NewMemory()
	send(mem, "legacy", "a\nb")
	send(mem, "modern", `["c","d"]`)
	f := eventflow.NewSink("index", func(_ context.Context, words []string) error {
		return eventflow.Skip(strings.Join(words, " and "))
	})
	r := listen(mem, f, runner.On(mem.Subscriber("legacy"), runner.WithCodec(Lines{})), runner.On(mem.Subscriber("modern")))
	for _, words := range []string{"a and b", "c and d"} {
		fmt.Println(words, r.Counts().Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: words}])
	}
	// Output:
	// a and b 1
	// c and d 1
}
