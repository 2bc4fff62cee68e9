package servicebus

import (
	"context"
	"time"
)

// openTime is how long a link may take to be opened when nobody wants it any more.
const openTime = time.Second

// patient gives a context that ends with ctx, but not before openTime is over from now on. It is for calls that may open a link: the client ends one that
// it is about to open in a way that costs it the connection, and everybody else on it theirs.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	begun := time.Now()
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if d, ok := ctx.Deadline(); ok {
		out, cancel = deadline(out, cancel, d)
	}
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(openTime - time.Since(begun))
		defer t.Stop()
		select {
		case <-t.C:
		case <-out.Done():
		}
		cancel()
	})
	return out, func() {
		stop()
		cancel()
	}
}

// deadline adds a deadline, which a call may tell the service, no sooner than openTime.
func deadline(ctx context.Context, cancel context.CancelFunc, at time.Time) (context.Context, context.CancelFunc) {
	if least := time.Now().Add(openTime); at.Before(least) {
		at = least
	}
	out, end := context.WithDeadline(ctx, at)
	return out, func() {
		end()
		cancel()
	}
}
