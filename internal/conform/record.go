package conform

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Failures runs one rule and gives what it complained of; nil when it passed. t itself does not fail. A panic, a
// deadlock of a bubble and a rule that hangs are failures. A rule that hangs is abandoned once its context has ended
// and it has ignored that for a second.
func Failures[H any](t *testing.T, h H, rule Rule[H], opts ...Option) []string {
	t.Helper()
	c := configure(opts)
	if !c.virtual {
		return record(t, h, rule, c.within)
	}
	return bubble(t, h, rule, c.within)
}

func bubble[H any](t *testing.T, h H, rule Rule[H], within time.Duration) (failures []string) {
	t.Helper()
	defer func() {
		// A bubble whose goroutines are all blocked for ever panics in its caller.
		if p := recover(); p != nil {
			failures = append(failures, fmt.Sprintf("bubble: %v", p))
		}
	}()
	synctest.Test(t, func(t *testing.T) { failures = record(t, h, rule, within) })
	return failures
}

func record[H any](t *testing.T, h H, rule Rule[H], within time.Duration) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &recorder{T: t, name: rule.Name, ctx: ctx}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer r.finish(cancel)
		r.guard(func() { rule.Run(r, h) })
	}()

	deadline := time.NewTimer(within)
	defer deadline.Stop()
	select {
	case <-ended:
	case <-deadline.C:
		r.Errorf("hangs: not over after %v", within)
		cancel()
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
	return r.close()
}

// recorder is the T of a rule whose failures are wanted. Of the test it wraps it takes what needs no judgement.
type recorder struct {
	T
	name string
	ctx  context.Context

	mu       sync.Mutex // guards what follows
	failures []string
	cleanups []func()
	closed   bool // nobody reads failures any more
}

func (r *recorder) Name() string                 { return r.name }
func (r *recorder) Context() context.Context     { return r.ctx }
func (r *recorder) Log(...any)                   {}
func (r *recorder) Logf(string, ...any)          {}
func (r *recorder) Error(args ...any)            { r.fail(fmt.Sprintln(args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.fail(fmt.Sprintf(f, args...)) }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(f string, args ...any) {
	r.Errorf(f, args...)
	runtime.Goexit()
}

func (r *recorder) FailNow() {
	r.Fatal("FailNow")
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) fail(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.failures = append(r.failures, what)
	}
}

// guard turns a panic into a failure.
func (r *recorder) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
}

// finish ends the context and runs the cleanups, last in first out; a cleanup may fail the rule and add another. When
// one ends its goroutine by Fatal, those below it still run.
func (r *recorder) finish(cancel context.CancelFunc) {
	cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()

		over := false
		func() {
			defer func() {
				if !over {
					r.finish(cancel)
				}
			}()
			r.guard(f)
			over = true
		}()
	}
}

func (r *recorder) close() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return slices.Clone(r.failures)
}
