package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

func leakRules() []rule {
	return []rule{
		{name: "NoGoroutineOutlivesTheBroker", run: noGoroutineOutlivesTheBroker},
		{name: "NoGoroutineOutlivesItsSubscriber", run: noGoroutineOutlivesItsSubscriber},
	}
}

// marks counts the marks that were given, so that rules which run at the same time do not see each other's goroutines.
var marks atomic.Uint64

const markName = "brokertest"

// marked runs f; the goroutines that it starts, and those that these start, carry the mark.
func (b *bench) marked(f func()) (mark string) {
	mark = fmt.Sprintf("%s-%d", b.Name(), marks.Add(1))
	pprof.Do(b.Context(), pprof.Labels(markName, mark), func(context.Context) { f() })
	return mark
}

// ofMark counts the goroutines that carry the mark and gives their stacks, equal ones once.
func (b *bench) ofMark(mark string) (n int, stacks []string) {
	b.Helper()
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, 1); err != nil {
		b.Fatalf("the goroutine profile: %v", err)
	}
	for stack := range strings.SplitSeq(buf.String(), "\n\n") {
		if !strings.Contains(stack, fmt.Sprintf("%q:%q", markName, mark)) {
			continue
		}
		if b.h.IgnoreGoroutine != nil && b.h.IgnoreGoroutine(stack) {
			continue
		}
		// The first stack stands behind a line about the whole profile; each begins with its number of goroutines.
		if head, rest, ok := strings.Cut(stack, "\n"); ok && strings.HasPrefix(head, "goroutine profile:") {
			stack = rest
		}
		var same int
		if _, err := fmt.Sscanf(stack, "%d @", &same); err != nil {
			b.Fatalf("the goroutine profile has a stack without a number: %v\n%s", err, stack)
		}
		n += same
		stacks = append(stacks, stack)
	}
	return n, stacks
}

// noneLeft waits until no more than most goroutines of the mark are there.
func (b *bench) noneLeft(mark string, most int, what string) {
	b.Helper()
	n, stacks := b.ofMark(mark)
	pause := time.Millisecond
	for end := time.Now().Add(b.h.Patience); n > most && time.Now().Before(end); n, stacks = b.ofMark(mark) {
		b.sleep(pause)
		pause *= 2
	}
	if n > most {
		b.Errorf("%d goroutines are still there %v after the close of %s, want at most %d:\n%s",
			n, b.h.Patience, what, most, strings.Join(stacks, "\n\n"))
	}
}

// traffic makes a subscriber do whatever may start a goroutine.
func (b *bench) traffic(name string) *consumer {
	b.Helper()
	c := b.subscribe()
	evs := b.events(6)
	for i := range evs {
		evs[i].ID = name + evs[i].ID
	}
	b.publish(evs...)
	ds := c.take(len(evs))
	ds[0].Ack()
	ds[1].Nack(0)
	ds[2].Release(b.delay())
	ds[3].Attempted()
	c.more(4, eventflow.Want{})
	return c
}

func noGoroutineOutlivesTheBroker(b *bench) {
	mark := b.marked(func() {
		c := b.traffic("")
		b.close()
		c.saysClosed()
	})
	b.noneLeft(mark, 0, "the broker")
}

// What a broker's subscribers share may stay until the broker is closed; what each has of its own may not.
func noGoroutineOutlivesItsSubscriber(b *bench) {
	const rounds = 8
	mark := b.marked(func() {
		for i := range rounds {
			b.traffic(fmt.Sprint(i)).close()
		}
	})
	b.noneLeft(mark, rounds-1, "all subscribers") // less than one of each
}
