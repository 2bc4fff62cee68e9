package brokertest_test

import (
	"context"
	"slices"
	"sync"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
)

// hooks are where a wrapped broker can be made to do wrong. A nil one does right.
type hooks struct {
	topic   func(string) string
	options func([]eventflow.SubscriberOption) []eventflow.SubscriberOption
	foreign func([]eventflow.PublisherOption) []eventflow.PublisherOption

	publish        func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error
	closePublisher func(p *wrappedPublisher, ctx context.Context) error
	closeBroker    func(w *wrapped, ctx context.Context) error
	features       func(w *wrapped) eventflow.Features

	start      func(s *wrappedSubscriber, ctx context.Context, l eventflow.Listening) error
	next       func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error)
	handOver   func(s *wrappedSubscriber, out *eventflow.Delivery)
	settle     func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement)
	attempted  func(s *wrappedSubscriber, ds []*eventflow.Delivery)
	deadLetter func(s *wrappedSubscriber, ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error
	close      func(s *wrappedSubscriber, ctx context.Context) error
	settled    func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error)
	lost       func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error)
}

// wrap gives a harness of brokers that delegate to those of h, each with hooks of its own.
func wrap(h brokertest.Harness, plant func(w *wrapped)) brokertest.Harness {
	open := h.Open
	h.Open = func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		f := *open(t, s)
		w := &wrapped{Broker: f.Broker, setup: s, t: t, of: map[*eventflow.Delivery]*eventflow.Delivery{}, latest: map[string]*eventflow.Delivery{}}
		if plant != nil {
			plant(w)
		}
		f.Broker = w
		if lose := f.Lose; lose != nil {
			f.Lose = func(s eventflow.Subscriber, d *eventflow.Delivery) { lose(unwrap(s), w.inner(d)) }
		}
		if stall := f.Stall; stall != nil {
			f.Stall = func(s eventflow.Subscriber) { stall(unwrap(s)) }
		}
		if crash := f.Crash; crash != nil {
			f.Crash = func(s eventflow.Subscriber) { crash(unwrap(s)) }
		}
		return &f
	}
	return h
}

func unwrap(s eventflow.Subscriber) eventflow.Subscriber { return s.(*wrappedSubscriber).Subscriber }

// wrapped is a broker that hands over deliveries of its own and settles the inner ones when they are settled.
type wrapped struct {
	eventflow.Broker
	hooks
	setup brokertest.Setup
	t     brokertest.T

	mu     sync.Mutex // guards what follows and what hooks keep
	of     map[*eventflow.Delivery]*eventflow.Delivery
	latest map[string]*eventflow.Delivery // the inner delivery of an event ID, of all subscribers
}

// inner gives the delivery behind one that was handed over.
func (w *wrapped) inner(out *eventflow.Delivery) *eventflow.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[out]
}

func (w *wrapped) inners(outs []*eventflow.Delivery) []*eventflow.Delivery {
	ins := make([]*eventflow.Delivery, 0, len(outs))
	for _, d := range outs {
		if in := w.inner(d); in != nil {
			ins = append(ins, in)
		}
	}
	return ins
}

// outers gives the deliveries that were handed over for inner ones.
func (w *wrapped) outers(ins []*eventflow.Delivery) []*eventflow.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	var outs []*eventflow.Delivery
	for out, in := range w.of {
		if slices.Contains(ins, in) {
			outs = append(outs, out)
		}
	}
	return outs
}

func (w *wrapped) Unwrap() eventflow.Broker { return w.Broker }

func (w *wrapped) Features() eventflow.Features {
	if w.features != nil {
		return w.features(w)
	}
	return w.Broker.Features()
}

func (w *wrapped) Close(ctx context.Context) error {
	if w.closeBroker != nil {
		return w.closeBroker(w, ctx)
	}
	return w.Broker.Close(ctx)
}

func (w *wrapped) OpenPublisher(topic string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	if w.topic != nil {
		topic = w.topic(topic)
	}
	if w.foreign != nil {
		opts = w.foreign(opts)
	}
	p, err := w.Broker.OpenPublisher(topic, opts...)
	if err != nil {
		return nil, err
	}
	return &wrappedPublisher{Publisher: p, w: w}, nil
}

func (w *wrapped) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	if w.topic != nil {
		topic = w.topic(topic)
	}
	if w.options != nil {
		opts = w.options(opts)
	}
	s, err := w.Broker.OpenSubscriber(topic, opts...)
	if err != nil {
		return nil, err
	}
	return &wrappedSubscriber{Subscriber: s, w: w}, nil
}

type wrappedPublisher struct {
	eventflow.Publisher
	w *wrapped
}

func (p *wrappedPublisher) Publish(ctx context.Context, evs ...eventflow.Event) error {
	if p.w.publish != nil {
		return p.w.publish(p, ctx, evs)
	}
	return p.Publisher.Publish(ctx, evs...)
}

func (p *wrappedPublisher) Close(ctx context.Context) error {
	if p.w.closePublisher != nil {
		return p.w.closePublisher(p, ctx)
	}
	return p.Publisher.Close(ctx)
}

type wrappedSubscriber struct {
	eventflow.Subscriber
	w         *wrapped
	listening eventflow.Listening
	closed    bool // for hooks, under w.mu
}

func (s *wrappedSubscriber) Start(ctx context.Context, l eventflow.Listening) error {
	s.listening = l
	l.Settled = func(ins []*eventflow.Delivery, err error) {
		if outs := s.w.outers(ins); s.w.settled != nil {
			s.w.settled(s, outs, err)
		} else {
			s.tellSettled(outs, err)
		}
	}
	l.Lost = func(ins []*eventflow.Delivery, err error) {
		if outs := s.w.outers(ins); s.w.lost != nil {
			s.w.lost(s, outs, err)
		} else {
			s.tellLost(outs, err)
		}
	}
	if s.w.start != nil {
		return s.w.start(s, ctx, l)
	}
	return s.Subscriber.Start(ctx, l)
}

func (s *wrappedSubscriber) tellSettled(outs []*eventflow.Delivery, err error) {
	if s.listening.Settled != nil {
		s.listening.Settled(outs, err)
	}
}

func (s *wrappedSubscriber) tellLost(outs []*eventflow.Delivery, err error) {
	for _, d := range outs {
		d.Lose()
	}
	if s.listening.Lost != nil {
		s.listening.Lost(outs, err)
	}
}

func (s *wrappedSubscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if s.w.next != nil {
		return s.w.next(s, ctx, want)
	}
	return s.receive(ctx, want)
}

// receive is the Next that does right.
func (s *wrappedSubscriber) receive(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	ins, err := s.Subscriber.Next(ctx, want)
	outs := make([]*eventflow.Delivery, len(ins))
	for i, in := range ins {
		outs[i] = s.outer(in)
	}
	return outs, err
}

// outer makes the delivery that is handed over for an inner one.
func (s *wrappedSubscriber) outer(in *eventflow.Delivery) *eventflow.Delivery {
	out := &eventflow.Delivery{Event: in.Event, Lane: in.Lane, Attempts: in.Attempts, Receives: in.Receives,
		Redrive: in.Redrive, LockedUntil: in.LockedUntil}
	out.Bind(s, 0)
	s.w.mu.Lock()
	s.w.of[out] = in
	s.w.latest[in.Event.ID] = in
	s.w.mu.Unlock()
	if s.w.handOver != nil {
		s.w.handOver(s, out)
	}
	return out
}

func (s *wrappedSubscriber) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	if s.w.settle != nil {
		s.w.settle(s, ds, st)
		return
	}
	s.pass(ds, st)
}

// pass settles the inner deliveries.
func (s *wrappedSubscriber) pass(ds []*eventflow.Delivery, st eventflow.Settlement) {
	eventflow.SettleAll(s.w.inners(ds), st)
}

func (s *wrappedSubscriber) Attempted(ds []*eventflow.Delivery) {
	if s.w.attempted != nil {
		s.w.attempted(s, ds)
		return
	}
	for _, d := range s.w.inners(ds) {
		d.Attempted()
	}
}

// DeadLetter writes the dead letter of the inner delivery, which is settled when the outer one is.
func (s *wrappedSubscriber) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	if s.w.deadLetter != nil {
		return s.w.deadLetter(s, ctx, d, f)
	}
	return s.write(ctx, d, f)
}

func (s *wrappedSubscriber) write(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	in := s.w.inner(d)
	return in.DeadLetter(ctx, f)
}

func (s *wrappedSubscriber) Close(ctx context.Context) error {
	if s.w.close != nil {
		return s.w.close(s, ctx)
	}
	return s.Subscriber.Close(ctx)
}

// held gives the inner deliveries that are open, of all subscribers of the broker, in no order.
func (s *wrappedSubscriber) held() []*eventflow.Delivery {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var ins []*eventflow.Delivery
	for _, in := range s.w.of {
		if in.Open() {
			ins = append(ins, in)
		}
	}
	return ins
}
