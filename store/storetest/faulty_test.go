package storetest

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// faulty is a store with a fault laid over it: the calls that are set replace those of the store below.
type faulty struct {
	store.Store
	claim   func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error
	renew   func(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error
	finish  func(ctx context.Context, owner string, fs []store.Finish) error
	orphans func(ctx context.Context, flow string, limit int) ([]eventflow.Key, error)
	cursor  func(ctx context.Context, flow, clock, definition string) (time.Time, error)
	close   func() error
}

func (f *faulty) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if f.claim != nil {
		return f.claim(ctx, owner, lease, cs)
	}
	return f.Store.Claim(ctx, owner, lease, cs)
}

func (f *faulty) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	if f.renew != nil {
		return f.renew(ctx, owner, lease, cs)
	}
	return f.Store.Renew(ctx, owner, lease, cs)
}

func (f *faulty) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	if f.finish != nil {
		return f.finish(ctx, owner, fs)
	}
	return f.Store.Finish(ctx, owner, fs)
}

func (f *faulty) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	if f.orphans != nil {
		return f.orphans(ctx, flow, limit)
	}
	return f.Store.Orphans(ctx, flow, limit)
}

func (f *faulty) Cursor(ctx context.Context, flow, clock, definition string) (time.Time, error) {
	if f.cursor != nil {
		return f.cursor(ctx, flow, clock, definition)
	}
	return f.Store.Cursor(ctx, flow, clock, definition)
}

func (f *faulty) Close() error {
	if f.close != nil {
		return f.close()
	}
	return f.Store.Close()
}

// plant makes a fault.
type plant func(s store.Store) *faulty

// answering changes each answer of Claim.
func answering(change func(owner string, c *store.Claim)) plant {
	return func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				change(owner, &cs[i])
			}
			return err
		}}
	}
}

// finishing changes each Finish on its way. The caller's is left as it is, but for the answer.
func finishing(change func(f *store.Finish)) plant {
	return func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			changed := append([]store.Finish(nil), fs...)
			for i := range changed {
				if changed[i].Claim != nil {
					c := *changed[i].Claim
					changed[i].Claim = &c
				}
				change(&changed[i])
			}
			err := s.Finish(ctx, owner, changed)
			for i := range changed {
				fs[i].Fenced = changed[i].Fenced
			}
			return err
		}}
	}
}

// leasing changes how long leases are.
func leasing(change func(time.Duration) time.Duration) plant {
	return func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			return s.Claim(ctx, owner, change(lease), cs)
		}}
	}
}

// asking changes what Claim is asked, and gives the caller back what it asked.
func asking(change func(c *store.Claim)) plant {
	return func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			asked := append([]store.Claim(nil), cs...)
			for i := range cs {
				if cs[i].Fire != nil {
					f := *cs[i].Fire
					cs[i].Fire = &f
				}
				change(&cs[i])
			}
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				cs[i].Key, cs[i].Fire = asked[i].Key, asked[i].Fire
			}
			return err
		}}
	}
}

// rekeying changes the keys of all calls.
func rekeying(change func(k *eventflow.Key)) plant {
	return func(s store.Store) *faulty {
		f := finishing(func(f *store.Finish) { change(&f.Claim.Key) })(s)
		f.claim = asking(func(c *store.Claim) { change(&c.Key) })(s).claim
		f.renew = func(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
			for _, c := range cs {
				was := c.Key
				change(&c.Key)
				defer func() { c.Key = was }() //nolint:gocritic // all of them after the call
			}
			return s.Renew(ctx, owner, lease, cs)
		}
		return f
	}
}

// grants is a book of the newest grant of each key, which a store that trusts its callers too much goes by.
type grants struct {
	mu    sync.Mutex // guards newest
	owner map[eventflow.Key]string
	claim map[eventflow.Key]store.Claim
}

// noting keeps the book over a store.
func noting(s store.Store) (*grants, *faulty) {
	g := &grants{owner: make(map[eventflow.Key]string), claim: make(map[eventflow.Key]store.Claim)}
	return g, answering(func(owner string, c *store.Claim) {
		if c.Status == store.Granted {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.owner[c.Key], g.claim[c.Key] = owner, *c
		}
	})(s)
}

func (g *grants) newest(k eventflow.Key) (string, store.Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.owner[k], g.claim[k]
}

// slotBook keeps overlap slots by itself, and has the faults that are set.
type slotBook struct {
	perName   bool // one slot for all flows
	noRenew   bool // renewing a claim does not renew its slot
	noLapse   bool // a slot outlives its holder's lease
	anyFrees  bool // a late finish frees the slot of whoever holds it now
	keptBy    store.State
	snapshot  bool // the slots are read once for a whole call
	takenRuns bool // a run that lost its slot renews its lease all the same

	mu    sync.Mutex // guards held
	held  map[string]store.Claim
	slots map[eventflow.Key]string
}

func (b *slotBook) plant(s store.Store) *faulty {
	b.held, b.slots = make(map[string]store.Claim), make(map[eventflow.Key]string)
	return &faulty{
		Store: s,
		claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			before := maps.Clone(b.held)
			for i := range cs {
				if err := b.claim(ctx, s, owner, lease, &cs[i], before); err != nil {
					return err
				}
			}
			return nil
		},
		renew: func(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, c := range cs {
				name, holds := b.slots[c.Key]
				if holds && b.held[name].Key != c.Key && !b.takenRuns {
					c.Status = store.Overlapping
					continue
				}
				if err := s.Renew(ctx, owner, lease, []*store.Claim{c}); err != nil {
					return err
				}
				if holds && b.held[name].Key == c.Key && !b.noRenew {
					b.held[name] = *c
				}
			}
			return nil
		},
		finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			err := s.Finish(ctx, owner, fs)
			for _, f := range fs {
				if name, ok := b.slots[f.Claim.Key]; ok && f.State != b.keptBy && (b.anyFrees || !f.Fenced && b.held[name].Key == f.Claim.Key) {
					delete(b.held, name)
				}
			}
			return err
		},
	}
}

func (b *slotBook) claim(ctx context.Context, s store.Store, owner string, lease time.Duration, c *store.Claim, before map[string]store.Claim) error {
	if c.Fire == nil || c.Fire.Overlap == "" {
		one := []store.Claim{*c}
		err := s.Claim(ctx, owner, lease, one)
		*c = one[0]
		return err
	}
	fire, name := c.Fire, c.Key.Flow+"/"+c.Fire.Overlap
	if b.perName {
		name = c.Fire.Overlap
	}
	held := b.held
	if b.snapshot {
		held = before
	}
	if h, ok := held[name]; ok && h.Key != c.Key && (b.noLapse || time.Now().Before(h.Until)) {
		c.Status, c.Until = store.Overlapping, h.Until
		return nil
	}
	free := *fire
	free.Overlap = ""
	one := []store.Claim{*c}
	one[0].Fire = &free
	err := s.Claim(ctx, owner, lease, one)
	*c = one[0]
	c.Fire = fire
	if c.Status == store.Granted {
		b.held[name], b.slots[c.Key] = *c, name
	}
	return err
}
