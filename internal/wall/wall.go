// Package wall lets a test of this module set what a runner takes for wall time: a bubble of virtual time cannot step a
// clock back, and the processes of one machine share theirs.
package wall

import (
	"context"
	"time"
)

type key struct{}

// With gives a context under which a runner's Listen reads wall time from now instead of time.Now.
func With(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, key{}, now)
}

// From gives the function of With, nil when there is none.
func From(ctx context.Context) func() time.Time {
	now, _ := ctx.Value(key{}).(func() time.Time)
	return now
}
