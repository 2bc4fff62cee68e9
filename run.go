package eventflow

import (
	"context"
	"strconv"
	"time"
)

// Run is what a flow may know of its run: [RunFrom] gives it. It is read only.
type Run struct {
	FlowName string
	Version  string // of the flow; see [Version]
	Key      Key    // of a batch: that of its first event
	Attempt  int    // 1 for the first; runs that failed or died with their process count, cancelled ones do not
	Fence    int    // grows with each claim of Key: a store outside can refuse writes that carry an older one
	Deadline time.Time
	Fire     *Fire // nil when an event started the run

	one    [1]*Event
	many   []*Event
	codecs *Codecs
}

// Codecs replace a flow's codec for what one trigger brings (Decode) and for what a runner publishes (Encode). A nil
// one leaves the flow's.
type Codecs struct{ Decode, Encode Codec }

// UseCodecs makes the run decode and encode with c, for runners that let a trigger name a codec.
func (r *Run) UseCodecs(c *Codecs) { r.codecs = c }

func (r *Run) decoder(f *Flow) Codec {
	if r.codecs != nil && r.codecs.Decode != nil {
		return r.codecs.Decode
	}
	return f.codec
}

func (r *Run) encoder(f *Flow) Codec {
	if r.codecs != nil && r.codecs.Encode != nil {
		return r.codecs.Encode
	}
	return f.codec
}

// NewRun makes a run for [Flow.Call], in tests and in schedulers of the user's own. Its Attempt is 1. The zero Key stands
// for that of the flow and the first event.
func NewRun(f *Flow, key Key, events ...*Event) *Run {
	r := new(Run)
	if key == (Key{}) {
		if key.Flow = f.name; len(events) > 0 {
			key.Source, key.ID = events[0].Source, events[0].ID
		}
	}
	r.Init(f, key, events...)
	return r
}

// Init makes r a first attempt of f, for runners that embed a Run in something of their own.
func (r *Run) Init(f *Flow, key Key, events ...*Event) {
	// Field by field: the runner's is fresh memory, which a whole assignment would only write twice.
	r.FlowName, r.Version, r.Key, r.Attempt, r.Fence = f.name, f.version, key, 1, 0
	r.Deadline, r.Fire, r.one[0], r.many, r.codecs = time.Time{}, nil, nil, nil, nil
	switch len(events) {
	case 0:
	case 1:
		r.one[0] = events[0]
	default:
		r.many = append([]*Event(nil), events...)
	}
}

// ID names the run: the same for every attempt, different for every other run. Use it as the idempotency key of what
// the flow does outside.
func (r *Run) ID() string { return r.Key.String() }

// Event is the event that started the run, the first one of a batch; nil when a time clock fired.
func (r *Run) Event() *Event {
	if len(r.many) > 0 {
		return r.many[0]
	}
	return r.one[0]
}

// Events are all the events of the run, in order: several for a [Batch], none when a time clock fired. The slice must
// not be changed.
func (r *Run) Events() []*Event {
	switch {
	case len(r.many) > 0:
		return r.many
	case r.one[0] != nil:
		return r.one[:]
	}
	return nil
}

// resultIDs gives the IDs of the run's results: the same on every attempt, so that the next flow absorbs what a rerun
// publishes again.
type resultIDs struct {
	buf  [48]byte
	made bool
}

func (ids *resultIDs) id(r *Run, n int) string {
	if !ids.made {
		var more []*Event
		if len(r.many) > 1 {
			more = r.many[1:]
		}
		name := r.Key.digest(more)
		copy(ids.buf[:], name[:])
		ids.buf[len(name)] = '-'
		ids.made = true
	}
	return string(strconv.AppendInt(ids.buf[:33], int64(n), 10))
}

type runKeyType struct{}

// runKey is boxed once, so that asking a context for it allocates nothing.
var runKey any = runKeyType{}

// RunFrom gives the run of ctx. Outside a run it gives an empty one, never nil: a flow can be called in a plain test.
func RunFrom(ctx context.Context) *Run {
	if r, ok := ctx.Value(runKey).(*Run); ok && r != nil {
		return r
	}
	return new(Run)
}

// WithRun gives a context in which [RunFrom] finds r, for tests of flows that ask.
func WithRun(ctx context.Context, r *Run) context.Context {
	return context.WithValue(ctx, runKey, r)
}

// IsRunKey reports whether a context is being asked for its run. It lets a context type of another package (the
// runner's) answer without an allocation; everybody else uses [RunFrom].
func IsRunKey(key any) bool { return key == runKey }
