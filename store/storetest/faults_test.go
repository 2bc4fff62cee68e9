package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/store"
)

// Each fault is one that a store may well have. The rules named must see it; the memory store without it passes them.
var faults = []struct {
	name  string
	plant plant
	rules string
}{
	{"grants without a fence or an end", answering(func(_ string, c *store.Claim) { c.Fence, c.Until = 0, time.Time{} }), "NewKeyIsGranted"},
	{"held is read as done", answering(func(_ string, c *store.Claim) {
		if c.Status == store.Held {
			c.Status, c.Outcome = store.Done, eventflow.Succeeded
		}
	}), "HeldIsNotDone ManyAtOnceGrantOne"},
	{"the owner's own claims are no obstacle", func(s store.Store) *faulty {
		g, f := noting(s)
		note := f.claim
		f.claim = func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			err := note(ctx, owner, lease, cs)
			for i := range cs {
				if holder, c := g.newest(cs[i].Key); cs[i].Status == store.Held && holder == owner {
					cs[i].Status, cs[i].Fence = store.Granted, c.Fence
				}
			}
			return err
		}
		return f
	}, "HeldBySameOwnerIsHeld KeyTwiceInOneCallIsNotGrantedTwice"},
	{"terminal is a release", finishing(func(f *store.Finish) {
		if f.State == store.Terminal {
			f.State = store.Released
		}
	}), "DoneSaysItsOutcome FireRunsOnce"},
	{"every end is a success", finishing(func(f *store.Finish) {
		if f.Outcome != 0 {
			f.Outcome = eventflow.Succeeded
		}
	}), "DoneSaysItsOutcome OnlyFinalOutcomesAreRecorded"},
	{"done ends with the lease", func(s store.Store) *faulty {
		var mu sync.Mutex
		done := make(map[eventflow.Key]bool)
		f := answering(func(_ string, c *store.Claim) {
			mu.Lock()
			defer mu.Unlock()
			if c.Status == store.Held && done[c.Key] {
				c.Status, c.Outcome = store.Done, eventflow.Succeeded
			}
		})(s)
		f.finish = func(_ context.Context, _ string, fs []store.Finish) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range fs {
				done[fs[i].Claim.Key] = true
			}
			return nil
		}
		return f
	}, "DoneOutlivesItsLease"},
	{"failed is terminal", finishing(func(f *store.Finish) {
		if f.State == store.Failed {
			f.State, f.Outcome = store.Terminal, eventflow.Failed
		}
	}), "FailedIsFreeAtOnceWithOneMoreAttempt"},
	{"attempts are not counted", answering(func(_ string, c *store.Claim) { c.Attempts = 0 }), "FailedIsFreeAtOnceWithOneMoreAttempt " +
		"LapsedIsTakenOverWithOneMoreAttempt BatchIsAnsweredEachForItself ManyAtOnceTakeOverOnce"},
	{"grants are counted as attempts", answering(func(_ string, c *store.Claim) { c.Attempts = c.Fence - 1 }), "ReleasedIsFreeAtOnceWithoutAnAttempt"},
	{"released is an attempt", finishing(func(f *store.Finish) {
		if f.State == store.Released {
			f.State = store.Failed
		}
	}), "ReleasedIsFreeAtOnceWithoutAnAttempt ReleaseForgetsNoAttempt ReleasedFireIsAnOrphan"},
	{"a release starts the count again", func(s store.Store) *faulty {
		forgiven := make(map[eventflow.Key]int)
		f := answering(func(_ string, c *store.Claim) { c.Attempts -= forgiven[c.Key] })(s)
		f.finish = finishing(func(f *store.Finish) {
			if f.State == store.Released {
				forgiven[f.Claim.Key] = f.Claim.Attempts
			}
		})(s).finish
		return f
	}, "ReleaseForgetsNoAttempt"},
	{"a release is ignored until its lease is over", func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			if len(fs) == 1 && fs[0].State == store.Released {
				return nil
			}
			return s.Finish(ctx, owner, fs)
		}}
	}, "ReleasedIsFreeAtOnceWithoutAnAttempt ReleasedFireIsAnOrphan SlotIsFreedByEveryEnd"},
	{"the fence is the number of attempts", answering(func(_ string, c *store.Claim) { c.Fence = c.Attempts + 1 }), "FenceGrowsWithEachGrant"},
	{"a second failure counts again", func(s store.Store) *faulty {
		seen := make(map[int]bool)
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			for i := range fs {
				if fence := fs[i].Claim.Fence; fs[i].State != store.Failed || !seen[fence] {
					seen[fence] = true
					continue
				}
				again := []store.Claim{{Key: fs[i].Claim.Key}}
				if err := s.Claim(ctx, owner, long, again); err != nil {
					return err
				}
				return s.Finish(ctx, owner, []store.Finish{{Claim: &again[0], State: store.Failed}})
			}
			return s.Finish(ctx, owner, fs)
		}}
	}, "SecondFinishChangesNothing"},
	{"leases lapse early", leasing(func(d time.Duration) time.Duration { return d / 100 }), "LeaseHoldsUntilItsEnd NewKeyIsGranted"},
	{"leases never lapse", leasing(func(d time.Duration) time.Duration { return 1000 * d }), "LapsedIsTakenOverWithOneMoreAttempt ManyAtOnceTakeOverOnce " +
		"OrphansAreFiresWhoseHolderDied OrphanIsTakenOver SlotLapsesWithItsHolder SlotIsTakenOverWithItsFire RenewByAnotherOwnerIsRefused"},
	{"a death is no attempt", func(s store.Store) *faulty {
		failures := make(map[eventflow.Key]int)
		f := answering(func(_ string, c *store.Claim) { c.Attempts = failures[c.Key] })(s)
		f.finish = finishing(func(f *store.Finish) {
			if f.State == store.Failed {
				failures[f.Claim.Key]++
			}
		})(s).finish
		return f
	}, "LapsedIsTakenOverWithOneMoreAttempt OrphanIsTakenOver"},
	{"what lapsed cannot be finished", func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			if len(fs) == 1 && !time.Now().Before(fs[0].Claim.Until) {
				fs[0].Fenced = true
				return nil
			}
			return s.Finish(ctx, owner, fs)
		}}
	}, "LapsedAndNotTakenOverIsStillItsHolders"},
	{"finish ignores the fence", func(s store.Store) *faulty {
		g, f := noting(s)
		f.finish = finishing(func(f *store.Finish) { _, *f.Claim = g.newest(f.Claim.Key) })(s).finish
		return f
	}, "FinishAfterTakeOverIsFenced"},
	{"finish ignores owner and fence", func(s store.Store) *faulty {
		g, f := noting(s)
		f.finish = func(ctx context.Context, _ string, fs []store.Finish) error {
			for i := range fs {
				holder, c := g.newest(fs[i].Claim.Key)
				one := []store.Finish{fs[i]}
				one[0].Claim = &c
				if err := s.Finish(ctx, holder, one); err != nil {
					return err
				}
				fs[i].Fenced = one[0].Fenced
			}
			return nil
		}
		return f
	}, "FinishAfterTakeOverIsFenced FinishByAnotherOwnerIsFenced SlotIsTakenOverWithItsFire"},
	{"fenced is never said", func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			err := s.Finish(ctx, owner, fs)
			for i := range fs {
				fs[i].Fenced = false
			}
			return err
		}}
	}, "FinishAfterTakeOverIsFenced FinishByAnotherOwnerIsFenced BatchIsAnsweredEachForItself"},
	{"fenced is only ever set", func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			was := fs[0].Fenced
			err := s.Finish(ctx, owner, fs)
			fs[0].Fenced = fs[0].Fenced || was
			return err
		}}
	}, "FencedIsAnsweredBothWays"},
	{"renew says yes and does nothing", func(s store.Store) *faulty {
		return &faulty{Store: s, renew: func(_ context.Context, _ string, lease time.Duration, cs []*store.Claim) error {
			for _, c := range cs {
				c.Status, c.Until = store.Granted, time.Now().Add(lease)
			}
			return nil
		}}
	}, "RenewExtendsTheLease RenewAnswersEachForItself RenewAfterTakeOverIsRefused RenewByAnotherOwnerIsRefused RenewAfterTheEndIsRefused SlotIsRenewedWithItsHolder"},
	{"renew ignores owner and fence", func(s store.Store) *faulty {
		g, f := noting(s)
		f.renew = func(ctx context.Context, _ string, lease time.Duration, cs []*store.Claim) error {
			for _, c := range cs {
				var holder string
				holder, *c = g.newest(c.Key)
				if err := s.Renew(ctx, holder, lease, []*store.Claim{c}); err != nil {
					return err
				}
			}
			return nil
		}
		return f
	}, "RenewAnswersEachForItself RenewAfterTakeOverIsRefused RenewByAnotherOwnerIsRefused"},
	{"renew takes again what was given back", func(s store.Store) *faulty {
		return &faulty{Store: s, renew: func(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
			again := []store.Claim{{Key: cs[0].Key}}
			if err := s.Claim(ctx, owner, lease, again); err != nil || again[0].Status == store.Granted {
				*cs[0] = again[0]
				return err
			}
			return s.Renew(ctx, owner, lease, cs)
		}}
	}, "RenewAfterTheEndIsRefused"},
	{"keys have no flow", rekeying(func(k *eventflow.Key) { k.Flow = "" }), "FlowIsPartOfTheKey OddKeysDoNotCollide FireRunsOnce"},
	{"keys have no binding", rekeying(func(k *eventflow.Key) { k.Binding = "" }), "BindingIsPartOfTheKey FireRunsOnce"},
	{"keys have no source", rekeying(func(k *eventflow.Key) { k.Source = "" }), "SourceIsPartOfTheKey"},
	{"keys have no redrive", rekeying(func(k *eventflow.Key) { k.Redrive = 0 }), "RedriveIsPartOfTheKey OddKeysDoNotCollide"},
	{"keys are joined with slashes", rekeying(func(k *eventflow.Key) {
		*k = eventflow.Key{ID: k.Flow + "/" + k.Binding + "/" + k.Source + "/" + k.ID, Redrive: k.Redrive}
	}), "OddKeysDoNotCollide"},
	{"IDs end at a NUL", rekeying(func(k *eventflow.Key) { k.ID, _, _ = strings.Cut(k.ID, "\x00") }), "OddKeysDoNotCollide"},
	{"IDs are compared without case", rekeying(func(k *eventflow.Key) { k.ID = strings.ToLower(k.ID) }), "OddKeysDoNotCollide"},
	{"IDs are cut at 255 bytes", rekeying(func(k *eventflow.Key) { k.ID = k.ID[:min(len(k.ID), 255)] }), "OddKeysDoNotCollide"},
	{"IDs are made valid UTF-8", rekeying(func(k *eventflow.Key) { k.ID = strings.ToValidUTF8(k.ID, "\ufffd") }), "OddKeysDoNotCollide"},
	{"IDs are trimmed", rekeying(func(k *eventflow.Key) { k.ID = strings.TrimSpace(k.ID) }), "OddKeysDoNotCollide"},
	{"the first answer is everybody's", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				cs[i].Status, cs[i].Attempts = cs[0].Status, cs[0].Attempts
			}
			return err
		}}
	}, "BatchIsAnsweredEachForItself"},
	{"a call takes 500 keys", func(s store.Store) *faulty {
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			return s.Finish(ctx, owner, fs[:min(len(fs), 500)])
		}}
	}, "ThousandKeysInOneCall"},
	{"an empty call is a mistake", func(s store.Store) *faulty {
		return &faulty{Store: s, renew: func(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
			if len(cs) == 0 {
				return errors.New("VALUES needs a row")
			}
			return s.Renew(ctx, owner, lease, cs)
		}}
	}, "EmptyCallsAreNoError"},
	{"only what has no answer is answered", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			was := append([]store.Claim(nil), cs...)
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				if was[i].Status != 0 {
					cs[i] = was[i]
				}
			}
			return err
		}}
	}, "ClaimAnswersAfresh"},
	{"claims look first and write later", func(s store.Store) *faulty {
		var mu sync.Mutex
		started, grants := 0, make(map[eventflow.Key]int)
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			mu.Lock()
			started++
			me := started
			mu.Unlock()
			time.Sleep(time.Millisecond) // so that calls meet
			mu.Lock()
			defer mu.Unlock()
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				switch k := cs[i].Key; {
				case cs[i].Status == store.Granted:
					grants[k] = started
				case cs[i].Status == store.Held && grants[k] >= me, cs[i].Status == store.Overlapping && me < started:
					cs[i].Status = store.Granted
				}
			}
			return err
		}}
	}, "ManyAtOnceGrantOne ManyAtOnceTakeOverOnce ManyAtOnceShareNoSlot"},
	{"contexts are ignored", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			return s.Claim(context.WithoutCancel(ctx), owner, lease, cs)
		}}
	}, "EndedContextClaimsNothing"},
	{"an ended context is said after the write", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			return errors.Join(s.Claim(context.WithoutCancel(ctx), owner, lease, cs), ctx.Err())
		}}
	}, "EndedContextClaimsNothing"},
	{"it cannot be closed", func(s store.Store) *faulty {
		return &faulty{Store: s, close: func() error { return nil }}
	}, "ClosedStoreSaysSo"},
	{"it can be closed once", func(s store.Store) *faulty {
		closed := false
		return &faulty{Store: s, close: func() error {
			if closed {
				return eventflow.ErrClosed
			}
			closed = true
			return s.Close()
		}}
	}, "ClosedStoreSaysSo"},
	{"a clock without a cursor starts at the epoch", func(s store.Store) *faulty {
		return &faulty{Store: s, cursor: func(ctx context.Context, flow, clock, definition string) (time.Time, error) {
			at, err := s.Cursor(ctx, flow, clock, definition)
			if at.IsZero() {
				at = time.Unix(0, 0)
			}
			return at, err
		}}
	}, "CursorStartsAtNothing RedefinedClockStartsOver"},
	{"cursors stand still", func(s store.Store) *faulty {
		return &faulty{Store: s, cursor: func(context.Context, string, string, string) (time.Time, error) { return time.Time{}, nil }}
	}, "CursorMovesWithTheClaim"},
	{"cursors are rounded", func(s store.Store) *faulty {
		return &faulty{Store: s, cursor: func(ctx context.Context, flow, clock, definition string) (time.Time, error) {
			at, err := s.Cursor(ctx, flow, clock, definition)
			return at.Truncate(time.Microsecond), err
		}}
	}, "CursorMovesWithTheClaim"},
	{"cursors follow the newest claim", cursorBook(func(c *store.Claim) (string, bool) {
		return c.Key.Flow + "/" + c.Key.Binding + "/" + c.Fire.Definition, c.Status == store.Granted
	}), "CursorNeverMovesBack"},
	{"cursors are moved by what was not granted", cursorBook(func(c *store.Claim) (string, bool) {
		return c.Key.Flow + "/" + c.Key.Binding + "/" + c.Fire.Definition, true
	}), "EarlyFireWaitsForItsTime OverlappingRecordsNothing"},
	{"flows share cursors", cursorBook(func(c *store.Claim) (string, bool) {
		return "report/" + c.Key.Binding + "/" + c.Fire.Definition, c.Status == store.Granted
	}), "CursorBelongsToFlowAndClock"},
	{"every definition keeps its cursor", func(s store.Store) *faulty {
		f := asking(func(c *store.Claim) {
			if c.Fire != nil {
				c.Fire.Definition = "v"
			}
		})(s)
		f.cursor = func(ctx context.Context, flow, clock, _ string) (time.Time, error) {
			return s.Cursor(ctx, flow, clock, "v")
		}
		return f
	}, "RedefinedClockStartsOver"},
	{"a fire without a definition is the clock's", func(s store.Store) *faulty {
		return asking(func(c *store.Claim) {
			if c.Fire != nil && c.Fire.Definition == "" {
				c.Fire.Definition = "v1"
			}
		})(s)
	}, "FireWithoutDefinitionMovesNoCursor"},
	{"cursors end with their runs", func(s store.Store) *faulty {
		over := false
		f := finishing(func(*store.Finish) { over = true })(s)
		f.cursor = func(ctx context.Context, flow, clock, definition string) (time.Time, error) {
			if over {
				return time.Time{}, nil
			}
			return s.Cursor(ctx, flow, clock, definition)
		}
		return f
	}, "CursorOutlivesTheRun"},
	{"fires are never early", asking(func(c *store.Claim) {
		if c.Fire != nil {
			c.Fire.NotBefore = time.Time{}
		}
	}), "EarlyFireWaitsForItsTime"},
	{"fires are early for ever", answering(func(_ string, c *store.Claim) {
		if c.Fire != nil && !c.Fire.NotBefore.IsZero() {
			c.Status, c.Until = store.Early, c.Fire.NotBefore
		}
	}), "EarlyFireWaitsForItsTime"},
	{"every fire may overlap", asking(func(c *store.Claim) {
		if c.Fire != nil {
			c.Fire.Overlap = ""
		}
	}), "SlotHoldsOneRun SlotHoldsOneRunOfOneCall SlotIsFreedByEveryEnd SlotIsRenewedWithItsHolder ManyAtOnceShareNoSlot"},
	{"every fire holds a slot", asking(func(c *store.Claim) {
		if c.Fire != nil && c.Fire.Overlap == "" {
			c.Fire.Overlap = "slot"
		}
	}), "OtherSlotsAreFree"},
	{"slots are looked at once a call", func(s store.Store) *faulty { return (&slotBook{snapshot: true}).plant(s) }, "SlotHoldsOneRunOfOneCall ManyAtOnceShareNoSlot"},
	{"flows share slots", func(s store.Store) *faulty { return (&slotBook{perName: true}).plant(s) }, "OtherSlotsAreFree"},
	{"a failed run keeps its slot", func(s store.Store) *faulty { return (&slotBook{keptBy: store.Failed}).plant(s) }, "SlotIsFreedByEveryEnd"},
	{"a released run keeps its slot", func(s store.Store) *faulty { return (&slotBook{keptBy: store.Released}).plant(s) }, "SlotIsFreedByEveryEnd"},
	{"slots are not renewed", func(s store.Store) *faulty { return (&slotBook{noRenew: true}).plant(s) }, "SlotIsRenewedWithItsHolder"},
	{"slots outlive their holders", func(s store.Store) *faulty { return (&slotBook{noLapse: true}).plant(s) }, "SlotLapsesWithItsHolder"},
	{"a late finish frees the slot", func(s store.Store) *faulty { return (&slotBook{anyFrees: true}).plant(s) }, "SlotLapsesWithItsHolder SlotIsTakenOverWithItsFire"},
	{"a run that lost its slot lives on", func(s store.Store) *faulty { return (&slotBook{takenRuns: true}).plant(s) }, "SlotLapsesWithItsHolder"},
	{"overlapping fires are recorded as skipped", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			err := s.Claim(ctx, owner, lease, cs)
			for i := range cs {
				if cs[i].Status != store.Overlapping {
					continue
				}
				skipped := []store.Claim{{Key: cs[i].Key}}
				err = errors.Join(err, s.Claim(ctx, owner, lease, skipped),
					s.Finish(ctx, owner, []store.Finish{{Claim: &skipped[0], State: store.Terminal, Outcome: eventflow.Skipped}}))
			}
			return err
		}}
	}, "OverlappingRecordsNothing"},
	{"orphans are forgotten", func(s store.Store) *faulty {
		return &faulty{Store: s, orphans: func(context.Context, string, int) ([]eventflow.Key, error) { return nil, nil }}
	}, "OrphansAreFiresWhoseHolderDied OrphanIsTakenOver OrphansKeepToTheirLimit ReleasedFireIsAnOrphan FailedFireIsAnOrphanWhenItsLeaseIsOver"},
	{"orphans have no limit", func(s store.Store) *faulty {
		return &faulty{Store: s, orphans: func(ctx context.Context, flow string, _ int) ([]eventflow.Key, error) {
			return s.Orphans(ctx, flow, 1000)
		}}
	}, "OrphansKeepToTheirLimit"},
	{"every flow has everybody's orphans", func(s store.Store) *faulty {
		return &faulty{Store: s, orphans: func(ctx context.Context, _ string, limit int) ([]eventflow.Key, error) {
			return s.Orphans(ctx, flow, limit)
		}}
	}, "OrphansAreFiresWhoseHolderDied"},
	{"events are orphans too", asking(func(c *store.Claim) {
		if c.Fire == nil {
			c.Fire = &store.Fire{}
		}
	}), "OrphansAreFiresWhoseHolderDied"},
	{"an orphan is told of once", func(s store.Store) *faulty {
		told := make(map[eventflow.Key]bool)
		return &faulty{Store: s, orphans: func(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
			ks, err := s.Orphans(ctx, flow, limit)
			var news []eventflow.Key
			for _, k := range ks {
				if !told[k] {
					told[k] = true
					news = append(news, k)
				}
			}
			return news, err
		}}
	}, "OrphanIsTakenOver"},
	{"released fires are forgotten", forgetting(store.Released), "ReleasedFireIsAnOrphan"},
	{"failed fires are forgotten", forgetting(store.Failed), "FailedFireIsAnOrphanWhenItsLeaseIsOver"},
	{"a full store forgets what runs", func(s store.Store) *faulty {
		var running []store.Claim
		var owners []string
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			err := s.Claim(ctx, owner, lease, cs)
			for errors.Is(err, store.ErrFull) && len(running) > 0 {
				if err = s.Finish(ctx, owners[0], []store.Finish{{Claim: &running[0], State: store.Released}}); err != nil {
					return err
				}
				running, owners = running[1:], owners[1:]
				err = s.Claim(ctx, owner, lease, cs)
			}
			for _, c := range cs {
				running, owners = append(running, c), append(owners, owner)
			}
			return err
		}}
	}, "FullStoreRefuses"},
	{"a full store forgets the oldest key, whatever its state", func(s store.Store) *faulty {
		var order []store.Claim
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			for i := range cs {
				if order = append(order, cs[i]); len(order) > 8 {
					if err := s.Renew(ctx, alice, time.Nanosecond, []*store.Claim{&order[0]}); err != nil {
						return err
					}
					time.Sleep(2 * time.Nanosecond)
					order = order[1:]
				}
			}
			err := s.Claim(ctx, owner, lease, cs)
			copy(order[len(order)-len(cs):], cs)
			return err
		}}
	}, "FullStoreForgetsNoUnfinishedKey"},
	{"a full store forgets what was claimed first", func(s store.Store) *faulty {
		var waiting []store.Finish
		return &faulty{Store: s, finish: func(ctx context.Context, owner string, fs []store.Finish) error {
			// The ends are told to the store in the order of the claims.
			if waiting = append(waiting, fs...); len(waiting) < 3 {
				return nil
			}
			for fence := 1; fence <= 3; fence++ {
				for i := range waiting {
					if waiting[i].Claim.Fence == fence {
						if err := s.Finish(ctx, owner, waiting[i:i+1]); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}}
	}, "FullStoreForgetsTheOldestEndFirst"},
	{"a full store claims what fits", func(s store.Store) *faulty {
		return &faulty{Store: s, claim: func(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
			for i := range cs {
				if err := s.Claim(ctx, owner, lease, cs[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		}}
	}, "FullStoreRefuses"},
}

// cursorBook keeps cursors by itself; entry says where a claim's goes, and whether it goes there.
func cursorBook(entry func(c *store.Claim) (string, bool)) plant {
	return func(s store.Store) *faulty {
		book := make(map[string]time.Time)
		f := answering(func(_ string, c *store.Claim) {
			if c.Fire == nil {
				return
			}
			if name, ok := entry(c); ok {
				book[name] = c.Fire.Nominal
			}
		})(s)
		f.cursor = func(_ context.Context, flow, clock, definition string) (time.Time, error) {
			return book[flow+"/"+clock+"/"+definition], nil
		}
		return f
	}
}

// forgetting leaves the fires that were finished so out of the orphans.
func forgetting(state store.State) plant {
	return func(s store.Store) *faulty {
		gone := make(map[eventflow.Key]bool)
		f := finishing(func(f *store.Finish) {
			if f.State == state {
				gone[f.Claim.Key] = true
			}
		})(s)
		f.orphans = func(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
			ks, err := s.Orphans(ctx, flow, limit)
			var kept []eventflow.Key
			for _, k := range ks {
				if !gone[k] {
					kept = append(kept, k)
				}
			}
			return kept, err
		}
		return f
	}
}

func TestRulesSeePlantedFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			h := memory(true, func(s store.Store) store.Store { return f.plant(s) }).withDefaults()
			for name := range strings.FieldsSeq(f.rules) {
				wantFailure(t, h, name)
			}
		})
	}
}

func TestForgettingEarlyIsSeen(t *testing.T) {
	t.Parallel()
	h := memory(true, plain).withDefaults()
	h.Brief = func(T) store.Store { return store.NewMemory(store.Window(time.Hour)) }
	wantFailure(t, h, "DoneIsRememberedForTheWindow")
}

// reopening is a harness of a store that outlives its Close: what is closed is a handle.
func reopening(reopen func(m *store.Memory) *store.Memory) Harness {
	type handle struct {
		store.Store
		m *store.Memory
	}
	h := memory(true, plain).withDefaults()
	h.Open = func(T) store.Store {
		m := store.NewMemory()
		return handle{m, m}
	}
	h.Reopen = func(_ T, s store.Store) store.Store {
		m := reopen(s.(handle).m)
		return handle{m, m}
	}
	return h
}

func TestForgettingWhenClosedIsSeen(t *testing.T) {
	t.Parallel()
	name := "ReopenedStoreRemembers"
	same := reopening(func(m *store.Memory) *store.Memory { return m })
	if fs := conform.Failures(t, same, conform.Find(t, rules, name), conform.Virtual(true)); fs != nil {
		t.Errorf("a store that remembers: %q", fs)
	}
	wantFailure(t, reopening(func(*store.Memory) *store.Memory { return store.NewMemory() }), name)
}

// A rule that no fault can break is worse than none.
func TestEveryRuleSeesAFault(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{"DoneIsRememberedForTheWindow": true, "ReopenedStoreRemembers": true} // by the tests above
	for _, f := range faults {
		for name := range strings.FieldsSeq(f.rules) {
			seen[name] = true
		}
	}
	for _, name := range Rules() {
		if !seen[name] {
			t.Errorf("no planted fault is seen by %s", name)
		}
	}
}

func wantFailure(t *testing.T, h Harness, name string) {
	t.Helper()
	fs := conform.Failures(t, h, conform.Find(t, rules, name), conform.Virtual(true))
	if len(fs) == 0 {
		t.Errorf("%s does not see it", name)
	}
	for _, f := range fs {
		if strings.HasPrefix(f, "panic:") || strings.HasPrefix(f, "bubble:") || strings.HasPrefix(f, "hangs") {
			t.Errorf("%s saw something else: %s", name, f)
		}
	}
	t.Logf("%s: %q", name, fs)
}
