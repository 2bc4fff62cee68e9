package eventflow_test

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
)

// ThumbParams is what a flow with several parameters takes.
type ThumbParams struct {
	Upload eventflow.EventParameter[Upload] // empty when a time clock fired
	Size   int                              // which a clock may set
}

func thumbnails() *eventflow.Flow {
	return eventflow.NewSink("thumbnail", func(_ context.Context, p ThumbParams) error {
		if up, ok := p.Upload.Get(); ok {
			fmt.Println("an upload:", up.Path)
			return nil
		}
		fmt.Println("a fire: make all of size", p.Size)
		return nil
	})
}

func ExampleEventParameter() {
	f := thumbnails()
	start(f, uploaded)
	fire(f, eventflow.Parameters{"Size": 128})
	// Output:
	// an upload: a.png
	// a fire: make all of size 128
}

// Names and types are checked before anything runs; runner.New does it.
func ExampleParameters() {
	f := thumbnails()
	fmt.Println(f.CheckParameters(eventflow.Parameters{"Size": 128}))
	fmt.Println(f.CheckParameters(eventflow.Parameters{"Width": 128}))
	fmt.Println(f.CheckParameters(eventflow.Parameters{"Size": "large"}))
	// Output:
	// <nil>
	// flow thumbnail parameters: "Width" is not allowed: one of the fields of eventflow_test.ThumbParams: Size
	// flow thumbnail parameter Size: "a string" is not allowed: what fits int: string is no int
}

// A plain test calls the function itself.
func ExampleNewEventParameter() {
	p := ThumbParams{Upload: eventflow.NewEventParameter(Upload{Path: "a.png"}, &uploaded), Size: 64}
	up, ok := p.Upload.Get()
	fmt.Println(up.Path, ok, p.Upload.Event().ID)
	// Output: a.png true 42
}
