package sim

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// stored is the store as one runner sees it.
type stored struct{ n *node }

// call passes a step to the store and gives the fault that strikes there.
func (s *stored) call(ctx context.Context, at step) (fault, error) {
	p := s.n.p
	f, err := p.at(at)
	if err != nil {
		return f, err
	}
	wait := p.w.s.Set.Latency
	if f.Kind == slowStore {
		wait = f.For
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return f, ctx.Err()
		case <-p.gone:
			return f, errDead
		}
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	switch {
	case p.dead:
		return f, errDead
	case f.Kind == storeFails, time.Now().Before(p.w.noStore):
		s.n.storeErrs++
		return f, errDown
	}
	return f, nil
}

// answered is the way back.
func (s *stored) answered(f fault, at step, err error) error {
	if _, dead := s.n.p.at(at); dead != nil {
		return dead
	}
	if f.Kind == storeLies {
		return errDown
	}
	return err
}

func (s *stored) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	f, err := s.call(ctx, atClaim)
	if err != nil {
		return err
	}
	w := s.n.p.w
	w.mu.Lock()
	now := w.cursor
	if err = w.store.Claim(ctx, owner, lease, cs); err == nil {
		for i := range cs {
			c := &cs[i]
			if c.Status != store.Granted {
				continue
			}
			w.granted(s.n, c.Key, c.Fence, c.Until)
			if f.Kind == storeLies {
				s.n.storeErrs++
			}
			if c.Fire != nil {
				if w.fired == 0 {
					w.fired = w.now()
				}
				if c.Fire.Definition != "" && c.Fire.Nominal.After(now) {
					now = c.Fire.Nominal
				}
				if c.Fire.NotBefore.After(time.Now()) {
					w.brokenf(fireTime, "%v is claimed before it is due at %v", c.Key, c.Fire.NotBefore)
				}
			}
		}
		if now.After(w.cursor) || len(cs) > 0 && cs[0].Fire != nil {
			w.cursor = now
			s.checkCursor(ctx, cs)
		}
	}
	w.mu.Unlock()
	return s.answered(f, atClaimed, err)
}

// checkCursor sees to it that the cursor is where the newest claimed fire is.
func (s *stored) checkCursor(ctx context.Context, cs []store.Claim) {
	w := s.n.p.w
	for i := range cs {
		if cs[i].Fire == nil || cs[i].Fire.Definition == "" { // it moves no cursor
			continue
		}
		at, err := w.store.Cursor(ctx, cs[i].Key.Flow, cs[i].Key.Binding, cs[i].Fire.Definition)
		if err == nil && !at.Equal(w.cursor) {
			w.brokenf(cursorRight, "the clock's cursor is at %v, the newest fire that was claimed at %v", at, w.cursor)
		}
	}
}

func (s *stored) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	w := s.n.p.w
	w.mu.Lock()
	for _, c := range cs {
		stood := s.n.p.thaw != nil // between the two
		if k := w.key(c.Key); !stood && k.toldFence == c.Fence && k.toldAt.Before(time.Now()) && !s.n.p.dead {
			w.brokenf(renewsOwn, "%v renews the claim of %v, which it ended %v ago", s.n, c.Key, time.Since(k.toldAt))
		}
	}
	w.mu.Unlock()
	for _, c := range cs {
		w.mu.Lock()
		w.tellf(c.Key.ID, "is renewed by %v, fence %d", s.n, c.Fence)
		w.mu.Unlock()
	}
	f, err := s.call(ctx, atRenew)
	if err != nil {
		return err
	}
	w.mu.Lock()
	if err = w.store.Renew(ctx, owner, lease, cs); err == nil {
		for _, c := range cs {
			if c.Status == store.Granted {
				w.key(c.Key).until = c.Until
			}
		}
	}
	w.mu.Unlock()
	return s.answered(f, atRenewed, err)
}

func (s *stored) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	w := s.n.p.w
	w.mu.Lock()
	for i := range fs {
		if !s.n.p.dead {
			s.checkFinish(&fs[i])
		}
	}
	w.mu.Unlock()
	f, err := s.call(ctx, atFinish)
	if err == nil {
		w.mu.Lock()
		if err = w.store.Finish(ctx, owner, fs); err == nil {
			for i := range fs {
				if !fs[i].Fenced {
					w.ended(s.n, fs[i].Claim.Key, fs[i].Claim.Fence, fs[i].State == store.Terminal, fs[i].Outcome)
				}
			}
		}
		w.mu.Unlock()
		err = s.answered(f, atFinished, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range fs {
		if err == nil {
			k := w.key(fs[i].Claim.Key)
			k.toldFence, k.toldAt = fs[i].Claim.Fence, time.Now()
		}
	}
	if err != nil {
		s.n.storeErrs++
		for i := range fs {
			k := w.key(fs[i].Claim.Key)
			k.trouble++
			if k.node == s.n {
				k.keptBy = s.n
			}
		}
	}
	return err
}

// checkFinish checks that a run ended as the runner says. The caller holds world.mu.
func (s *stored) checkFinish(f *store.Finish) {
	w, k := s.n.p.w, s.n.p.w.key(f.Claim.Key)
	mine := k.node == s.n && k.fence == f.Claim.Fence
	if s.n.returned && f.State != store.Released {
		w.brokenf(promptly, "%v ends %v after Listen returned", s.n, k.key)
	}
	switch {
	case f.State == store.Released || !mine:
	case f.State == store.Failed:
		if k.failFence != f.Claim.Fence && (k.tk == nil || !k.tk.from.bad) {
			w.brokenf(attemptsFail, "%v counts an attempt of %v, whose run under this claim has not failed", s.n, k.key)
		}
	case f.Outcome == eventflow.Succeeded:
		switch r := k.success[s.n]; {
		case r == nil:
			w.brokenf(finishLast, "%v ends %v as succeeded, and no run of it did", s.n, k.key)
		case !r.taken():
			w.brokenf(finishLast, "%v ends %v as succeeded before its results are taken", s.n, k.key)
		}
	case f.Outcome == eventflow.DeadLettered:
		if k.dead == 0 {
			w.brokenf(buryFirst, "%v ends %v as dead-lettered before its dead letter is written", s.n, k.key)
		}
	case f.Outcome == eventflow.Skipped:
		if !k.skipped && k.tk != nil {
			w.brokenf(finishLast, "%v ends %v as skipped, and no run said so", s.n, k.key)
		}
	case f.Outcome == eventflow.Failed && k.tk == nil:
		if k.failures+k.lapsed < maxAttempts && !k.permanent {
			w.brokenf(exactly, "%v ends %v as failed after %d runs that failed and %d that died, of %d", s.n, k.key, k.failures, k.lapsed, maxAttempts)
		}
		if w.s.Set.DeadTopic && k.dead == 0 {
			w.brokenf(buryFirst, "%v ends %v as failed before its dead letter is written", s.n, k.key)
		}
	default:
		w.brokenf(finishLast, "%v ends %v as %v", s.n, k.key, f.Outcome)
	}
}

func (s *stored) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	f, err := s.call(ctx, atSweep)
	if err != nil {
		return nil, err
	}
	keys, err := s.n.p.w.store.Orphans(ctx, flow, limit)
	return keys, s.answered(f, atSwept, err)
}

func (s *stored) Cursor(ctx context.Context, flow, clock, definition string) (time.Time, error) {
	if _, err := s.n.p.at(atStart); err != nil {
		return time.Time{}, err
	}
	return s.n.p.w.store.Cursor(ctx, flow, clock, definition)
}

func (s *stored) Close() error { return nil }
