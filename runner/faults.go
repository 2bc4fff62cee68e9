package runner

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// faults says a lasting fault when it begins, once a minute while it lasts, and when it is over: never once per event.
type faults struct {
	n     atomic.Int32 // of since: clearing nothing must cost nothing
	mu    sync.Mutex   // guards since
	since map[any]*fault
}

type fault struct{ began, said time.Time }

const sayAgain = time.Minute

func (f *faults) say(l *slog.Logger, what any, text string, err error) {
	now := time.Now()
	f.mu.Lock()
	lasting := f.since[what]
	if lasting == nil {
		if f.since == nil {
			f.since = map[any]*fault{}
		}
		lasting = &fault{began: now}
		f.since[what] = lasting
		f.n.Add(1)
	}
	silent := !lasting.said.IsZero() && now.Sub(lasting.said) < sayAgain
	if !silent {
		lasting.said = now
	}
	began := lasting.began
	f.mu.Unlock()
	if !silent {
		l.Error(text, "error", err, "since", began)
	}
}

func (f *faults) clear(l *slog.Logger, what any) {
	if f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	lasting := f.since[what]
	if lasting != nil {
		delete(f.since, what)
		f.n.Add(-1)
	}
	f.mu.Unlock()
	if lasting != nil {
		l.Info("a fault is over", "what", what, "lasted", time.Since(lasting.began))
	}
}
