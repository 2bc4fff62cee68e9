package runnertest

import (
	"context"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// layer is a subscriber between the runner and the watch, with hooks where it can be made to do wrong. A nil one does
// right. What it does wrong is what a runner, or its broker, would have done.
type layer struct {
	eventflow.Subscriber
	p         *process
	listening eventflow.Listening
	layerHooks

	mu   sync.Mutex // guards outs
	outs map[*eventflow.Delivery]*eventflow.Delivery
}

type layerHooks struct {
	start    func(l *layer, ctx context.Context) error
	want     func(w *eventflow.Want)
	handOver func(l *layer, in, out *eventflow.Delivery)
	fails    func(error) error
	settle   func(l *layer, in *eventflow.Delivery, st eventflow.Settlement)
	bury     func(f *eventflow.Failure)
	lost     func(l *layer, outs []*eventflow.Delivery, err error)
	confirms int // times that a confirmation is passed on; 0 is once
	close    func(l *layer, ctx context.Context) error
}

// subscribing plants hooks in every subscriber.
func subscribing(hooks layerHooks) func(h *Harness) {
	return func(h *Harness) {
		h.plant.subscriber = func(p *process, s eventflow.Subscriber) eventflow.Subscriber {
			return &layer{Subscriber: s, p: p, layerHooks: hooks, outs: map[*eventflow.Delivery]*eventflow.Delivery{}}
		}
	}
}

// String is the trigger's name, as that of the watched one.
func (l *layer) String() string { return "runnertest" }

func (l *layer) Start(ctx context.Context, li eventflow.Listening) error {
	l.listening = li
	li.Settled = func(ins []*eventflow.Delivery, err error) {
		outs := l.of(ins)
		for i, out := range outs {
			if out.Open() {
				out.Settle(eventflow.Settlement{Verb: eventflow.Ack, Note: ins[i].Note()})
			}
		}
		for range max(l.confirms, 1) {
			l.listening.Settled(outs, err)
		}
	}
	li.Lost = func(ins []*eventflow.Delivery, err error) {
		if outs := l.of(ins); l.lost != nil {
			l.lost(l, outs, err)
		} else {
			l.tellLost(outs, err)
		}
	}
	err := l.Subscriber.Start(ctx, li)
	if l.start != nil {
		return l.start(l, ctx)
	}
	return err
}

func (l *layer) tellLost(outs []*eventflow.Delivery, err error) {
	for _, out := range outs {
		out.Lose()
	}
	l.listening.Lost(outs, err)
}

func (l *layer) of(ins []*eventflow.Delivery) []*eventflow.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	var outs []*eventflow.Delivery
	for _, in := range ins {
		if out := l.outs[in]; out != nil {
			outs = append(outs, out)
		}
	}
	return outs
}

func (l *layer) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if l.want != nil {
		l.want(&want)
	}
	ins, err := l.Subscriber.Next(ctx, want)
	outs := make([]*eventflow.Delivery, len(ins))
	for i, in := range ins {
		out := &eventflow.Delivery{Event: in.Event, Lane: in.Lane, Attempts: in.Attempts, Receives: in.Receives, Redrive: in.Redrive,
			LockedUntil: in.LockedUntil, Native: in}
		out.Bind(l, 0)
		outs[i] = out
		l.mu.Lock()
		l.outs[in] = out
		l.mu.Unlock()
		if l.handOver != nil {
			l.handOver(l, in, out)
		}
	}
	if err != nil && l.fails != nil {
		err = l.fails(err)
	}
	return outs, err
}

func (l *layer) Settle(outs []*eventflow.Delivery, st eventflow.Settlement) {
	for _, out := range outs {
		if l.settle != nil {
			l.settle(l, innerOf(out), st)
		} else {
			innerOf(out).Settle(st)
		}
	}
}

func (l *layer) Attempted(outs []*eventflow.Delivery) {
	for _, out := range outs {
		innerOf(out).Attempted()
	}
}

func (l *layer) DeadLetter(ctx context.Context, out *eventflow.Delivery, f eventflow.Failure) error {
	if l.bury != nil {
		l.bury(&f)
	}
	return innerOf(out).DeadLetter(ctx, f)
}

func (l *layer) Close(ctx context.Context) error {
	if l.close != nil {
		return l.close(l, ctx)
	}
	return l.Subscriber.Close(ctx)
}

// storing plants a store that changes what passes through it.
type storing struct {
	store.Store
	asked    func(c *store.Claim)
	answered func(c *store.Claim)
	finished func(f *store.Finish)
	renew    func(cs []*store.Claim) error
	orphans  func() []eventflow.Key
	slow     func(cs []store.Claim) time.Duration
	// unclaimed and unfinished say yes for a store that does not answer.
	unclaimed, unfinished bool
}

func (s storing) plant(h *Harness) {
	h.plant.store = func(_ *process, below store.Store) store.Store {
		own := s // of each process
		own.Store = below
		return &own
	}
}

// Claim asks with changed claims, and gives the caller its own back with the answers.
func (s *storing) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if s.slow != nil {
		time.Sleep(s.slow(cs))
	}
	asked := append([]store.Claim(nil), cs...)
	for i := range asked {
		if s.asked != nil {
			s.asked(&asked[i])
		}
	}
	if err := s.Store.Claim(ctx, owner, lease, asked); err != nil && !s.unclaimed {
		return err
	} else if err != nil {
		for i := range cs {
			cs[i].Status, cs[i].Until = store.Granted, time.Now().Add(lease)
		}
		return nil
	}
	for i := range cs {
		key, fire := cs[i].Key, cs[i].Fire
		cs[i] = asked[i]
		cs[i].Key, cs[i].Fire = key, fire
		if s.answered != nil {
			s.answered(&cs[i])
		}
	}
	return nil
}

func (s *storing) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	if s.renew != nil {
		return s.renew(cs)
	}
	return s.Store.Renew(ctx, owner, lease, cs)
}

func (s *storing) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	changed := append([]store.Finish(nil), fs...)
	for i := range changed {
		c := *changed[i].Claim
		if s.asked != nil {
			s.asked(&c)
		}
		changed[i].Claim = &c
		if s.finished != nil {
			s.finished(&changed[i])
		}
	}
	err := s.Store.Finish(ctx, owner, changed)
	if s.unfinished {
		err = nil
	}
	for i := range changed {
		fs[i].Fenced = changed[i].Fenced
	}
	return err
}

func (s *storing) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	if s.orphans != nil {
		return s.orphans(), nil
	}
	return s.Store.Orphans(ctx, flow, limit)
}

// publishing plants a publisher.
func publishing(publish func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error) func(h *Harness) {
	return func(h *Harness) {
		h.plant.publisher = func(_ *process, below eventflow.Publisher) eventflow.Publisher {
			return &planted{Publisher: below, publish: publish}
		}
	}
}

type planted struct {
	eventflow.Publisher
	publish func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error
}

func (p *planted) Publish(ctx context.Context, evs ...eventflow.Event) error {
	return p.publish(ctx, p.Publisher, evs)
}
