package runnertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// watched is a subscriber that hands over deliveries of its own, and settles the broker's when they are settled.
type watched struct {
	eventflow.Subscriber
	p         *process
	listening eventflow.Listening

	mu      sync.Mutex                                  // guards what follows
	outs    map[*eventflow.Delivery]*eventflow.Delivery // that are handed over and not confirmed, by the broker's own
	bytes   int                                         // of their data
	marked  map[*eventflow.Delivery]struct{}            // of outs, those that are settled: they count for no lane any more
	perLane map[string]int
	most    held
}

// held is the most that a subscriber had handed over at once.
type held struct{ events, bytes, perLane int }

// mostHeld gives the most that the runner held at once.
func (s *watched) mostHeld() held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

func (s *watched) inner(id string) *eventflow.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	for in := range s.outs {
		if in.Event.ID == id {
			return in
		}
	}
	return nil
}

// String is that of the broker's, which names the trigger.
func (s *watched) String() string { return "runnertest" }

func (s *watched) Start(ctx context.Context, l eventflow.Listening) error {
	s.listening = l
	l.Settled, l.Lost = s.settled, s.lost
	return s.Subscriber.Start(ctx, l)
}

func (s *watched) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	s.p.brake()
	switch {
	case s.p.dead():
		<-ctx.Done()
		return nil, ctx.Err()
	case s.p.sourceAway.Load():
		return nil, errAway
	}
	ins, err := s.Subscriber.Next(ctx, want)
	if s.p.dead() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if len(ins) == 0 {
		return nil, err
	}
	slab := make([]eventflow.Delivery, len(ins))
	outs := make([]*eventflow.Delivery, len(ins))
	s.mu.Lock()
	for i, in := range ins {
		out := &slab[i]
		out.Event, out.Lane, out.Attempts, out.Receives = in.Event, in.Lane, in.Attempts, in.Receives
		out.Redrive, out.LockedUntil, out.Native = in.Redrive, in.LockedUntil, in
		out.Bind(s, 0)
		outs[i] = out
		s.hold(in, out)
	}
	s.mu.Unlock()
	for i, in := range ins {
		if in.Lost() { // before it was known here
			s.lost(ins[i:i+1], eventflow.ErrLockLost)
		}
		s.p.note(entry{step: received, id: in.Event.ID})
	}
	if s.p.dead() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return outs, err
}

// hold and release count what is handed over. The caller holds the lock.
func (s *watched) hold(in, out *eventflow.Delivery) {
	s.outs[in] = out
	s.bytes += len(in.Event.Data)
	if in.Lane != "" {
		s.perLane[in.Lane]++
	}
	s.most = held{max(s.most.events, len(s.outs)), max(s.most.bytes, s.bytes), max(s.most.perLane, s.perLane[in.Lane])}
}

func (s *watched) release(ins []*eventflow.Delivery) (outs []*eventflow.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range ins {
		out := s.outs[in]
		if out == nil {
			continue
		}
		s.leaveLane(in)
		delete(s.marked, in)
		delete(s.outs, in)
		s.bytes -= len(in.Event.Data)
		outs = append(outs, out)
	}
	return outs
}

// leaveLane takes a delivery off its lane's count: a bound of unsettled ones per lane does not wait for confirmations.
func (s *watched) leaveLane(in *eventflow.Delivery) {
	if _, ok := s.marked[in]; ok || s.outs[in] == nil {
		return
	}
	s.marked[in] = struct{}{}
	if s.perLane[in.Lane]--; s.perLane[in.Lane] <= 0 {
		delete(s.perLane, in.Lane)
	}
}

func (s *watched) settled(ins []*eventflow.Delivery, err error) {
	if s.p.dead() {
		return
	}
	outs := s.release(ins)
	for _, out := range outs {
		if out.Open() { // its broker settled it with its dead letter
			out.Settle(eventflow.Settlement{Verb: eventflow.Ack, Note: innerOf(out).Note()})
		}
	}
	if s.listening.Settled != nil && len(outs) > 0 {
		s.listening.Settled(outs, err)
	}
	for _, out := range outs {
		s.p.note(entry{step: confirmed, id: out.Event.ID, err: err})
	}
}

func (s *watched) lost(ins []*eventflow.Delivery, err error) {
	if s.p.dead() {
		return
	}
	var gone, late []*eventflow.Delivery
	for _, out := range s.release(ins) {
		if out.Lose() {
			gone = append(gone, out)
		} else { // settled on this side of the watch, and lost on the other
			late = append(late, out)
		}
	}
	if s.listening.Lost != nil && len(gone) > 0 {
		s.listening.Lost(gone, err)
	}
	if s.listening.Settled != nil && len(late) > 0 {
		s.listening.Settled(late, err)
	}
	for _, out := range gone {
		s.p.note(entry{step: lost, id: out.Event.ID, err: err})
	}
}

func innerOf(out *eventflow.Delivery) *eventflow.Delivery { return out.Native.(*eventflow.Delivery) }

// Settle implements eventflow.Settler.
func (s *watched) Settle(outs []*eventflow.Delivery, st eventflow.Settlement) {
	if s.p.dead() {
		return
	}
	ins := make([]*eventflow.Delivery, len(outs))
	s.mu.Lock()
	for i, out := range outs {
		ins[i] = innerOf(out)
		s.leaveLane(ins[i])
	}
	s.mu.Unlock()
	for _, out := range outs {
		s.p.note(entry{step: marked, id: out.Event.ID, text: st.Verb.String()})
	}
	eventflow.SettleAll(ins, st)
}

// Attempted implements eventflow.Settler.
func (s *watched) Attempted(outs []*eventflow.Delivery) {
	if s.p.dead() {
		return
	}
	for _, out := range outs {
		innerOf(out).Attempted()
	}
}

// DeadLetter implements eventflow.Settler. The broker's own delivery is settled with it; the other follows.
func (s *watched) DeadLetter(ctx context.Context, out *eventflow.Delivery, f eventflow.Failure) error {
	if s.p.dead() {
		return errDead
	}
	s.p.note(entry{step: buried, id: out.Event.ID, text: f.Reason})
	in := innerOf(out)
	err := in.DeadLetter(ctx, f)
	if err == nil {
		s.mu.Lock()
		s.leaveLane(in)
		s.mu.Unlock()
	}
	return err
}

// Close of a dead process does nothing: its death told the broker all that it will hear.
func (s *watched) Close(ctx context.Context) error {
	if s.p.dead() {
		return nil
	}
	return s.Subscriber.Close(ctx)
}

// watchedPublisher is a publisher under watch. It refuses what its process says.
type watchedPublisher struct {
	to    eventflow.Publisher
	topic string
	p     *process
}

func (w *watchedPublisher) Publish(ctx context.Context, evs ...eventflow.Event) error {
	if w.p.dead() {
		return errDead
	}
	errs := make([]error, len(evs))
	var taken []eventflow.Event
	var index []int // of each in the call
	for i := range evs {
		w.p.note(w.entry(offered, &evs[i]))
		if w.p.refuse != nil {
			errs[i] = w.p.refuse(w.topic, &evs[i])
		}
		if errs[i] == nil {
			taken, index = append(taken, evs[i]), append(index, i)
		}
	}
	if w.p.dead() {
		return errDead
	}
	var some *eventflow.PublishError
	switch err := w.to.Publish(ctx, taken...); {
	case errors.As(err, &some):
		for _, it := range some.Failed {
			errs[index[it.Index]] = it.Err
		}
	case err != nil:
		return err
	}
	refused := &eventflow.PublishError{}
	for i, err := range errs {
		if err != nil {
			refused.Failed = append(refused.Failed, eventflow.ItemError{Index: i, Err: err})
			continue
		}
		w.p.note(w.entry(published, &evs[i]))
	}
	switch {
	case w.p.dead():
		return errDead
	case len(refused.Failed) > 0:
		return refused
	}
	return nil
}

// entry is about the input of a result: its data is the input's ID. A dead letter is the input itself.
func (w *watchedPublisher) entry(s step, ev *eventflow.Event) entry {
	return entry{step: s, id: string(ev.Data), text: w.topic, result: ev.ID}
}

func (w *watchedPublisher) Close(ctx context.Context) error { return w.to.Close(ctx) }

// watchedStore is a store under watch.
type watchedStore struct {
	store.Store
	p *process
}

// away gives the error of a store that cannot be reached.
func (s *watchedStore) away() error {
	switch {
	case s.p.dead():
		return errDead
	case s.p.storeAway.Load():
		return errAway
	}
	return nil
}

func (s *watchedStore) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if err := s.away(); err != nil {
		return err
	}
	s.p.brake()
	err := s.Store.Claim(ctx, owner, lease, cs)
	if err == nil {
		for i := range cs {
			s.p.note(entry{step: claimed, id: cs[i].Key.ID, text: cs[i].Status.String()})
		}
	}
	if s.p.dead() {
		return errDead
	}
	return err
}

func (s *watchedStore) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	if err := s.away(); err != nil {
		return err
	}
	return s.Store.Renew(ctx, owner, lease, cs)
}

// States of a finish in the record.
const (
	terminal = "terminal"
	failed   = "failed"
	freed    = "released"
	fenced   = "fenced"
)

func (s *watchedStore) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	if err := s.away(); err != nil {
		return err
	}
	err := s.Store.Finish(ctx, owner, fs)
	if err == nil {
		for i := range fs {
			state := map[store.State]string{store.Terminal: terminal, store.Failed: failed, store.Released: freed}[fs[i].State]
			if fs[i].Fenced {
				state = fenced
			}
			s.p.note(entry{step: finished, id: fs[i].Claim.Key.ID, text: state})
		}
	}
	if s.p.dead() {
		return errDead
	}
	return err
}

func (s *watchedStore) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return s.Store.Orphans(ctx, flow, limit)
}
