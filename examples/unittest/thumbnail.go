// Package unittest shows how the tests of a flow look. thumbnail.go is the code of a service, with nothing in it for the
// tests; the tests go from the plain function to the flow in its runner:
//
//   - function_test.go calls the function, and the flow without a runner;
//   - runner_test.go runs it on the in-memory broker, in the virtual time of testing/synctest: retries, dead letters,
//     duplicates, a clock at 03:00;
//   - fault_test.go does what real brokers do now and then: a lock is lost, a result is refused.
//
// They use the standard library only:
//
//	go test ./examples/unittest
package unittest

import (
	"context"
	"errors"

	"github.com/eventflow-go/eventflow"
)

// Upload is the payload of the events that start the flow.
type Upload struct {
	Path string `json:"path"`
}

// Thumb is the payload of its results.
type Thumb struct {
	Of   string `json:"of"`
	Size int    `json:"size"`
}

// Params are the flow's parameters: the event's payload, and a size that a clock may set.
type Params struct {
	Upload eventflow.EventParameter[Upload]
	Size   int
}

// Images is what the flow needs of the outside.
type Images interface {
	// Render makes a thumbnail. An image that cannot be read is ErrNoImage.
	Render(ctx context.Context, path string, size int) error
	// Stale lists the images whose thumbnails are out of date.
	Stale(ctx context.Context) ([]string, error)
}

// ErrNoImage is what Render returns for a file that is no image.
var ErrNoImage = errors.New("no image")

// Thumbnails is the flow's receiver: it carries what the flow needs.
type Thumbnails struct{ Images Images }

const defaultSize = 64

// Flow makes the flow.
func (t Thumbnails) Flow() *eventflow.Flow { return eventflow.NewFlow("thumbnail", t.Make) }

// Make renders the thumbnail of an upload; when a clock fired, those of all that is stale.
func (t Thumbnails) Make(ctx context.Context, p Params) (eventflow.Many[Thumb], error) {
	if p.Size == 0 {
		p.Size = defaultSize
	}
	if up, ok := p.Upload.Get(); ok {
		return t.render(ctx, p.Size, up.Path)
	}
	stale, err := t.Images.Stale(ctx)
	if err != nil {
		return nil, err
	}
	return t.render(ctx, p.Size, stale...)
}

func (t Thumbnails) render(ctx context.Context, size int, paths ...string) (eventflow.Many[Thumb], error) {
	var made eventflow.Many[Thumb]
	for _, path := range paths {
		err := t.Images.Render(ctx, path, size)
		if errors.Is(err, ErrNoImage) {
			return nil, eventflow.Permanent(err) // no retry makes it one
		}
		if err != nil {
			return nil, err
		}
		made = append(made, Thumb{Of: path, Size: size})
	}
	return made, nil
}
