package unittest_test

import (
	"context"
	"sync"
)

// images is the outside as the tests want it: render says what Render does in its n-th call.
type images struct {
	render func(ctx context.Context, n int) error // nil: all is well
	stale  []string

	mu       sync.Mutex // guards what follows
	rendered []string   // the paths of all calls
}

func (im *images) Render(ctx context.Context, path string, _ int) error {
	im.mu.Lock()
	im.rendered = append(im.rendered, path)
	n := len(im.rendered)
	im.mu.Unlock()
	if im.render == nil {
		return nil
	}
	return im.render(ctx, n)
}

func (im *images) Stale(context.Context) ([]string, error) { return im.stale, nil }

func (im *images) calls() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return len(im.rendered)
}
