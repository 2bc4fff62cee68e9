package runnertest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// step is one of an event's or a fire's way.
type step uint8

const (
	received  step = iota + 1
	claimed        // text: the answer
	began          // attempt
	ended          // attempt, err
	offered        // text: the topic, result: the ID
	published      // as offered
	finished       // text: the state; "fenced" when it was
	buried         // handed to its broker's own dead letters
	marked         // settled; text: the verb
	confirmed      // by the broker
	lost           // its lock
)

var steps = [...]string{"", "received", "claimed", "began", "ended", "offered", "published", "finished", "buried", "marked", "confirmed", "lost"}

func (s step) String() string { return steps[s] }

// entry is one thing that a process did.
type entry struct {
	step    step
	process string
	id      string // of the event; of a fire its nominal time
	text    string
	result  string
	attempt int
	err     error
	at      time.Time
	seq     int // its place in the record
}

func (e *entry) String() string {
	s := strings.Join(strings.Fields(fmt.Sprint(e.at.Format("05.000 "), e.process, " ", e.step, " ", e.id, " ", e.text, " ", e.result)), " ")
	if e.attempt > 0 {
		s += fmt.Sprintf(" attempt %d", e.attempt)
	}
	if e.err != nil {
		s += fmt.Sprintf(": %v", e.err)
	}
	return s
}

// like reports whether e has all that the pattern names.
func (e *entry) like(p *entry) bool {
	return (p.step == 0 || p.step == e.step) && (p.process == "" || p.process == e.process) && (p.id == "" || p.id == e.id) &&
		(p.text == "" || p.text == e.text) && (p.result == "" || p.result == e.result) && (p.attempt == 0 || p.attempt == e.attempt)
}

// journal is the record of what the processes of a rule did, in order. The runner has no part in it.
type journal struct {
	mu      sync.Mutex // guards what follows
	entries []entry
	changed chan struct{} // closed and replaced by each entry
	off     bool          // of a rule with more events than one would keep
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) add(e entry) {
	e.at = time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.off {
		return
	}
	e.seq = len(j.entries)
	j.entries = append(j.entries, e)
	j.change()
}

// change wakes who waits for one. The caller holds the lock.
func (j *journal) change() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// poke tells of a change that is not in the record.
func (j *journal) poke() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.change()
}

func (j *journal) watch() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

// find gives the entries like the pattern: those of its fields that say something, but for err, at and seq.
func (j *journal) find(p entry) []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []entry
	for i := range j.entries {
		if j.entries[i].like(&p) {
			out = append(out, j.entries[i])
		}
	}
	return out
}

// count counts the entries like the pattern.
func (j *journal) count(p entry) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.entries {
		if j.entries[i].like(&p) {
			n++
		}
	}
	return n
}

// flooded reports whether more happened than any rule makes happen: something goes round and round.
func (j *journal) flooded() bool {
	const most = 10_000
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries) > most
}

// ids gives the different IDs of the entries like the pattern.
func (j *journal) ids(p entry) map[string]int {
	out := map[string]int{}
	for _, e := range j.find(p) {
		out[e.id]++
	}
	return out
}

// first and last give the place of the first and the last entry like the pattern, -1 for none.
func (j *journal) first(p entry) int {
	if es := j.find(p); len(es) > 0 {
		return es[0].seq
	}
	return -1
}

func (j *journal) last(p entry) int {
	if es := j.find(p); len(es) > 0 {
		return es[len(es)-1].seq
	}
	return -1
}

// tail gives the last entries, for a failure's message.
func (j *journal) tail() string {
	const most = 60
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	from := max(0, len(j.entries)-most)
	for i := range j.entries[from:] {
		b.WriteString("\n  " + j.entries[from+i].String())
	}
	return b.String()
}
