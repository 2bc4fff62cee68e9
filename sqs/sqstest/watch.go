package sqstest

import (
	"slices"
	"sync"
)

// watch sees every request: it counts them and decides which fail.
type watch struct {
	mu           sync.Mutex // guards all below
	interceptors []*interceptor
	counts       map[string]map[string]int // of requests, by queue and action; "" is all queues
}

type interceptor struct {
	f     func(Request) Fault
	spent bool // it has no fault left
}

// Intercept has every request shown to f, which says what becomes of it. Interceptors are asked in the order in which
// they came, until one answers with a fault. Stop takes f out again.
//
// F is called by one request at a time, which all others wait for: it must not block, and calls neither Intercept nor
// Requests.
func (w *watch) Intercept(f func(Request) Fault) (stop func()) {
	i := &interceptor{f: f}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interceptors = append(w.interceptors, i)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.interceptors = slices.DeleteFunc(w.interceptors, func(x *interceptor) bool { return x == i })
	}
}

// FailNext gives the next requests of an action on a queue these faults, one each, in order. A zero Fault lets one
// pass. An empty queue is any.
func (w *watch) FailNext(action, queue string, faults ...Fault) {
	i := &interceptor{spent: len(faults) == 0}
	i.f = func(r Request) Fault {
		if i.spent || r.Action != action || queue != "" && r.Queue != queue {
			return Fault{}
		}
		f := faults[0]
		faults = faults[1:]
		i.spent = len(faults) == 0
		return f
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interceptors = append(w.interceptors, i)
}

// Requests says how many requests of an action arrived, refused ones included, as the service bills them. A queue of ""
// is all queues, an action of "" all actions.
func (w *watch) Requests(queue, action string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if action != "" {
		return w.counts[queue][action]
	}
	for _, c := range w.counts[queue] {
		n += c
	}
	return n
}

// arrive counts a request and says what becomes of it.
func (w *watch) arrive(r Request) Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("", r.Action)
	if r.Queue != "" {
		w.count(r.Queue, r.Action)
	}
	w.interceptors = slices.DeleteFunc(w.interceptors, func(i *interceptor) bool { return i.spent })
	for _, i := range w.interceptors {
		if f := i.f(r); f != (Fault{}) {
			return f
		}
	}
	return Fault{}
}

func (w *watch) count(queue, action string) {
	if w.counts == nil {
		w.counts = map[string]map[string]int{}
	}
	if w.counts[queue] == nil {
		if len(w.counts) > maxQueues {
			return // names that nobody made a queue of
		}
		w.counts[queue] = map[string]int{}
	}
	w.counts[queue][action]++
}
