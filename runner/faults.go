package runner

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// faults keeps the log readable when everything goes wrong at once. A lasting fault, and one that comes and goes, is said
// when it begins, once a minute while it lasts, and when it is over: never once per event. Of the ends that are said one
// by one it lets some a minute through, and counts the others.
type faults struct {
	flow  string
	n     atomic.Int32 // lasting ones: clearing nothing must cost nothing
	mu    sync.Mutex   // guards what follows
	since map[any]*fault
	ends  map[string]*burst
	unsay atomic.Bool // some burst has something unsaid
}

type fault struct {
	text         string
	began, ended time.Time // ended: of one that does not last any more
	said         time.Time
	times        int
	lasting      bool
	open         bool // it was said, and its end was not
}

// burst is what of one kind was said in a minute.
type burst struct {
	began  time.Time
	said   int
	unsaid int
}

const (
	sayAgain = time.Minute
	sayMost  = 10 // ends of one kind in sayAgain
)

// say says that something does not work. what tells faults apart: a fault of the same that is over for less than a minute
// is the same fault.
func (f *faults) say(l *slog.Logger, what any, text string, err error) {
	now := time.Now()
	f.mu.Lock()
	one := f.since[what]
	if one == nil {
		if f.since == nil {
			f.since = map[any]*fault{}
		}
		one = &fault{began: now}
		f.since[what] = one
	}
	if !one.lasting {
		if one.lasting = true; now.Sub(one.ended) >= sayAgain {
			one.began, one.times = now, 0
		}
		f.n.Add(1)
	}
	one.times++
	aloud := one.said.IsZero() || now.Sub(one.said) >= sayAgain
	if aloud {
		one.said, one.text, one.open = now, text, true
	}
	began, times := one.began, one.times
	f.mu.Unlock()
	if aloud {
		l.Error(text, "flow", f.flow, "error", err, "since", began, "times", times)
	}
}

// clear notes that it works again.
func (f *faults) clear(l *slog.Logger, what any) {
	if f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	one := f.since[what]
	if one == nil || !one.lasting {
		f.mu.Unlock()
		return
	}
	f.n.Add(-1)
	aloud := one.open
	one.lasting, one.open, one.ended = false, false, time.Now()
	text, took, times := one.text, one.ended.Sub(one.began), one.times
	f.mu.Unlock()
	if aloud {
		l.Info("a fault is over", "flow", f.flow, "fault", text, "lasted", took, "times", times)
	}
}

// lets gives whether one more of a kind may be said now, and how many were not said before it.
func (f *faults) lets(kind string) (aloud bool, unsaid int) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.ends[kind]
	if b == nil {
		if f.ends == nil {
			f.ends = map[string]*burst{}
		}
		b = &burst{began: now}
		f.ends[kind] = b
	}
	if now.Sub(b.began) >= sayAgain {
		b.began, b.said = now, 0
	}
	if b.said == sayMost {
		b.unsaid++
		f.unsay.Store(true)
		return false, 0
	}
	b.said++
	unsaid, b.unsaid = b.unsaid, 0
	return true, unsaid
}

// rest says how many were not said one by one, of the kinds whose minute is over, or of all.
func (f *faults) rest(l *slog.Logger, all bool) {
	if !f.unsay.Load() {
		return
	}
	now := time.Now()
	unsaid := map[string]int{}
	f.mu.Lock()
	left := false
	for kind, b := range f.ends {
		switch {
		case b.unsaid == 0:
		case all || now.Sub(b.began) >= sayAgain:
			unsaid[kind], b.unsaid = b.unsaid, 0
		default:
			left = true
		}
	}
	f.unsay.Store(left)
	f.mu.Unlock()
	for kind, n := range unsaid {
		l.Warn("more of the same, not said one by one", "flow", f.flow, "what", kind, "times", n)
	}
}

// sayEnd says that an event or a fire has failed for good. The error's text is left out unless DeadLetterErrors lets it out: it
// often holds what the payload held. Of a panic it says where.
func (r *FlowRunner) sayEnd(level slog.Level, text string, t *task) {
	aloud, unsaid := r.faults.lets(text)
	if !aloud {
		return
	}
	v := &t.ended
	args := []any{"flow", r.flow.Name(), "run", t.key.String(), "reason", v.reason, "attempts", t.tried}
	if v.err != nil {
		args = append(args, "error", errorClass(v.err))
	}
	if let := r.errText(v.err); let != "" {
		args = append(args, "text", let)
	}
	if p, ok := errors.AsType[*PanicError](v.err); ok {
		args = append(args, "stack", string(p.Stack))
	}
	if unsaid > 0 {
		args = append(args, "unsaid", unsaid)
	}
	r.logger().Log(context.Background(), level, text, args...)
}

// sayMissed says that fires of a clock were missed and are not made up for.
func (r *FlowRunner) sayMissed(tm *timer, n int, atLeast bool) {
	const text = "fires were missed, and are not made up for"
	aloud, unsaid := r.faults.lets(text)
	if !aloud {
		return
	}
	times := strconv.Itoa(n)
	if atLeast {
		times = "at least " + times
	}
	args := []any{"flow", r.flow.Name(), "trigger", tm.name, "times", times}
	if unsaid > 0 {
		args = append(args, "unsaid", unsaid)
	}
	r.logger().Warn(text, args...)
}
