package sqs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
)

// mostSends is how many batches of one publisher are on their way at once: as many as the SDK's own HTTP client keeps
// connections to one host.
const mostSends = 10

// A publisher of one queue. What is published at the same time shares requests: one goes out at once while none is under
// way, and then as soon as ten messages are there or another has come back.
type publisher struct {
	b   *Broker
	q   queue
	set settings
	err error // of opening

	mu      sync.Mutex // guards what follows
	url     string
	pending []*entry
	groups  map[string]bool // FIFO: that have messages under way; another batch could overtake them
	sends   int
	closed  bool
	active  int           // Publish calls under way
	done    chan struct{} // made by a Close that waits; closed by the last of them
	life    context.Context
	cut     context.CancelFunc
	running sync.WaitGroup // the sends
}

// entry is one event of a call.
type entry struct {
	out   outgoing
	call  *publishing
	index int
}

// publishing is one call of Publish. It is guarded by the publisher's mutex.
type publishing struct {
	errs   []error         // of each event; errWaiting before the queue has answered
	left   int             // that wait
	broken map[string]bool // FIFO: groups of which an event was refused; what follows it would overtake it
	done   chan struct{}   // closed when none is left
}

// errWaiting stands for an event of which nothing is known yet.
var errWaiting = errors.New("not answered")

func (b *Broker) newPublisher(name string, set settings) (*publisher, error) {
	q, err := parseQueue(name)
	return &publisher{b: b, q: q, set: set, url: q.url, groups: map[string]bool{}}, err
}

// Err is what was wrong when it was opened.
func (p *publisher) Err() error { return p.err }

// String names the queue.
func (p *publisher) String() string { return p.q.String() }

// Publish sends the events in batches of ten, together with those of other calls. Of a FIFO queue a key's events are
// sent one batch after another, and none after one that was refused. When ctx ends, events on their way are reported as
// not taken although the queue may have them.
func (p *publisher) Publish(ctx context.Context, events ...eventflow.Event) error {
	return p.publish(ctx, len(events), func(i int) outgoing { return encode(&events[i], p.q.fifo(), p.set.structured) })
}

// encodedAtOnce is how many events are encoded before their requests begin: those of the next wait for the network.
const encodedAtOnce = largestMaxNumber * mostSends

// publish sends n messages, which out gives.
func (p *publisher) publish(ctx context.Context, n int, out func(i int) outgoing) error {
	switch {
	case p.err != nil:
		return p.err
	case n == 0:
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := p.begin(ctx, n)
	if err != nil {
		return err
	}
	for from := 0; from < n && ctx.Err() == nil; from += encodedAtOnce {
		es := make([]entry, min(n-from, encodedAtOnce))
		for i := range es {
			es[i] = entry{out: out(from + i), call: c, index: from + i}
		}
		p.enter(es)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.leave()
	if c.left > 0 {
		p.giveUp(c, ctx.Err())
	}
	return c.result()
}

// begin begins a call of n events.
func (p *publisher) begin(ctx context.Context, n int) (*publishing, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, p.wrap(eventflow.ErrClosed)
	}
	p.active++
	url := p.url
	p.mu.Unlock()
	if url == "" {
		var err error
		if url, err = p.b.urlOf(ctx, &p.q, &p.set, false); err != nil {
			p.mu.Lock()
			p.leave()
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.url == "" {
		p.url = url
	}
	if p.life == nil {
		p.life, p.cut = context.WithCancel(context.Background())
	}
	c := &publishing{errs: make([]error, n), left: n, done: make(chan struct{})}
	for i := range c.errs {
		c.errs[i] = errWaiting
	}
	return c, nil
}

// enter queues events of a call and sends what can go.
func (p *publisher) enter(es []entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range es {
		e := &es[i]
		if e.out.size > p.set.maxBytes {
			p.settle(e, &SizeError{Size: e.out.size, Limit: p.set.maxBytes})
			continue
		}
		p.pending = append(p.pending, e)
	}
	p.flush()
}

// leave ends a call. The caller holds the lock, which it gives up.
func (p *publisher) leave() {
	if p.active--; p.active == 0 && p.done != nil {
		close(p.done)
		p.done = nil
	}
	p.mu.Unlock()
}

func (p *publisher) wrap(err error) error { return fmt.Errorf("sqs: queue %q: %w", p.q.given, err) }

// giveUp ends a call whose context is over: what was not sent yet never will be. The caller holds the lock.
func (p *publisher) giveUp(c *publishing, err error) {
	p.pending = slices.DeleteFunc(p.pending, func(e *entry) bool { return e.call == c })
	for i := range c.errs {
		if c.errs[i] == errWaiting { //nolint:errorlint,err113 // the very value
			c.errs[i] = err
		}
	}
	c.left = 0
}

// settle notes what became of an event. The caller holds the lock.
func (p *publisher) settle(e *entry, err error) {
	c := e.call
	if c.left == 0 { // it gave up
		return
	}
	if err != nil && e.out.group != "" {
		if c.broken == nil {
			c.broken = map[string]bool{}
		}
		c.broken[e.out.group] = true
	}
	c.errs[e.index] = err
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

func (c *publishing) result() error {
	var failed []eventflow.ItemError
	for i, err := range c.errs {
		if err != nil {
			failed = append(failed, eventflow.ItemError{Index: i, Err: err})
		}
	}
	if failed == nil {
		return nil
	}
	return &eventflow.PublishError{Failed: failed}
}

// flush sends what can go. The caller holds the lock.
func (p *publisher) flush() {
	for batch := p.next(); batch != nil; batch = p.next() {
		p.running.Go(func() { p.send(batch) })
	}
}

// next gives what can go: whole batches, and less only when nothing is under way. The caller holds the lock, and sends.
func (p *publisher) next() []*entry {
	if len(p.pending) == 0 || p.sends == mostSends || p.sends > 0 && len(p.pending) < largestMaxNumber {
		return nil
	}
	batch := p.take()
	if batch != nil { // else all of it waits for what is under way
		p.sends++
	}
	return batch
}

// errOvertakes is that of an event whose predecessor in its group was refused by the queue.
var errOvertakes = errors.New("sqs: an event before it in its group was not taken")

// take gives the next batch: at most ten messages, no larger than a message may be, of a FIFO queue only groups that are
// not under way. The caller holds the lock.
func (p *publisher) take() []*entry {
	batch := make([]*entry, 0, min(len(p.pending), largestMaxNumber))
	var waiting map[string]bool
	size, seen, kept := 0, 0, 0
	for _, e := range p.pending {
		if len(batch) == largestMaxNumber || size+e.out.size > p.set.maxBytes {
			break
		}
		seen++
		switch g := e.out.group; {
		case g != "" && e.call.broken[g]:
			p.settle(e, errOvertakes)
		case g != "" && (p.groups[g] || waiting[g]):
			if waiting == nil {
				waiting = map[string]bool{}
			}
			waiting[g] = true
			p.pending[kept] = e
			kept++
		default:
			batch = append(batch, e)
			size += e.out.size
		}
	}
	if kept > 0 {
		p.pending = slices.Delete(p.pending, kept, seen)
	} else { // the others, which may be many, need not move
		clear(p.pending[:seen])
		p.pending = p.pending[seen:]
	}
	if len(batch) == 0 {
		return nil
	}
	for _, e := range batch {
		if e.out.group != "" {
			p.groups[e.out.group] = true
		}
	}
	return batch
}

// send sends one batch after another, for as long as there is one, and settles their events. One goroutine does it for
// many batches, because the SDK's calls are deep: a stack that has to grow for each costs a tenth of a request.
func (p *publisher) send(batch []*entry) {
	for batch != nil {
		errs := p.request(batch)
		p.mu.Lock()
		for i, e := range batch {
			if e.out.group != "" {
				delete(p.groups, e.out.group)
			}
			p.settle(e, errs[i])
		}
		p.sends--
		batch = p.next()
		p.flush()
		p.mu.Unlock()
	}
}

// request sends messages and gives what became of each. A batch that the queue finds too large is halved.
func (p *publisher) request(batch []*entry) []error {
	errs := make([]error, len(batch))
	entries := make([]types.SendMessageBatchRequestEntry, len(batch))
	for i, e := range batch {
		entries[i] = e.out.entry(i)
	}
	ctx, cancel := context.WithTimeout(p.life, requestTime)
	defer cancel()
	out, err := p.b.client(&p.q, &p.set).SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &p.url, Entries: entries})
	switch {
	case err != nil && codeOf(err) == "BatchRequestTooLong" && len(batch) > 1:
		half := len(batch) / 2
		return append(p.request(batch[:half]), p.request(batch[half:])...)
	case err != nil && codeOf(err) == "BatchRequestTooLong":
		errs[0] = &SizeError{Size: batch[0].out.size}
		return errs
	case err != nil:
		err = explain("SendMessage", p.q.given, err, false)
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i := range errs {
		errs[i] = errSilent
	}
	for i := range out.Successful {
		if n, ok := entryIndex(out.Successful[i].Id, len(batch)); ok {
			errs[n] = nil
		}
	}
	for i := range out.Failed {
		if n, ok := entryIndex(out.Failed[i].Id, len(batch)); ok {
			errs[n] = p.refusal(&out.Failed[i], batch[n])
		}
	}
	for i, err := range errs {
		if err == errSilent { //nolint:errorlint,err113 // the very value
			errs[i] = p.wrap(err)
		}
	}
	return errs
}

// errSilent is that of an entry of a batch which the answer does not mention.
var errSilent = errors.New("the answer says nothing about it")

// refusal gives the error of a message that was refused alone.
func (p *publisher) refusal(f *types.BatchResultErrorEntry, e *entry) error {
	code, text := shortCode(aws.ToString(f.Code)), aws.ToString(f.Message)
	if strings.Contains(text, "must be shorter than") || code == "MessageTooLong" {
		return &SizeError{Size: e.out.size}
	}
	err := &entryError{code: code, text: text}
	if f.SenderFault && (code == "InvalidMessageContents" || code == "InvalidAttributeValue" || code == "InvalidParameterValue") {
		return eventflow.Permanent(p.wrap(err)) // it will be the same on a retry
	}
	return p.wrap(err)
}

// entryError is why one entry of a batch failed.
type entryError struct{ code, text string }

func (e *entryError) Error() string {
	if e.text == "" {
		return e.code
	}
	return e.code + ": " + e.text
}

// entryIndex reads the ID of a batch's entry, which is its index.
func entryIndex(id *string, n int) (int, bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < n
}

// Close waits for the Publish calls under way. When ctx ends first, their requests are cut.
func (p *publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	var done chan struct{}
	if p.active > 0 {
		if p.done == nil {
			p.done = make(chan struct{})
		}
		done = p.done
	}
	cut := p.cut
	p.mu.Unlock()
	var err error
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if cut != nil {
		cut()
	}
	p.running.Wait()
	p.b.forget(p)
	return err
}
