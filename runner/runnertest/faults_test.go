package runnertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// Each fault is one that a runner, or a broker or a store under it, may well have. The rules named must see it; without
// it all pass.
var faults = []struct {
	name  string
	plant func(h *Harness)
	rules string
}{
	{"acknowledges what it receives", subscribing(layerHooks{handOver: func(_ *layer, in, _ *eventflow.Delivery) { in.Ack() }}),
		"AckFollowsSuccess CrashAfterReceiveLosesNothing CrashAfterClaimLosesNothing CrashWhileRunningLosesNothing " +
			"CrashBeforePublishLosesNothing CrashAfterAckLosesNothing DeadLetterIsWrittenBeforeTheAck RestartsUnderLoadLoseNothing " +
			"ShutdownFinishesRunsAndHandsBackTheRest HeldElsewhereIsNotDone"},
	{"an acknowledged event comes again", subscribing(layerHooks{settle: func(l *layer, in *eventflow.Delivery, st eventflow.Settlement) {
		in.Settle(st)
		if l.p.b.log.count(entry{step: marked}) == 1 {
			_ = l.p.b.publisher(l.p.b.topics[0]).Publish(context.Background(), in.Event)
		}
	}}), "AcknowledgedEventIsNotRunAgain"},
	{"hand-backs wait for the lock's end", subscribing(layerHooks{settle: func(_ *layer, in *eventflow.Delivery, st eventflow.Settlement) {
		if st.Verb == eventflow.Release {
			st = eventflow.Settlement{Verb: eventflow.Abandon}
		}
		in.Settle(st)
	}}), "RestartsUnderLoadLoseNothing ShutdownFinishesRunsAndHandsBackTheRest ShutdownIsNoAttempt LaneKeepsItsOrderAcrossRestarts"},
	{"held is read as done", storing{answered: func(c *store.Claim) {
		if c.Status == store.Held {
			c.Status, c.Outcome = store.Done, eventflow.Succeeded
		}
	}}.plant, "HeldElsewhereIsNotDone CrashWhileRunningLosesNothing CrashAfterClaimLosesNothing LastFireOfAClockIsTakenOver"},
	{"done is read as granted", storing{answered: func(c *store.Claim) {
		if c.Status == store.Done {
			c.Status = store.Granted
		}
	}}.plant, "CrashAfterFinishLosesNothing EventThatWasRunIsADuplicate SuccessorKnowsWhatWasRun"},
	{"results have new IDs in each run", publishing(func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error {
		out := slices.Clone(evs)
		for i := range out {
			out[i].ID += fmt.Sprint("-", fresh.Add(1))
		}
		return below.Publish(ctx, out...)
	}), "CrashAfterPublishLosesNothing RefusedResultIsPublishedByTheSuccessor"},
	{"keys without their flow", storing{asked: func(c *store.Claim) { c.Key.Flow = "" }}.plant, "EachFlowRunsTheEvent"},
	{"keys without their redrive", storing{asked: func(c *store.Claim) { c.Key.Redrive = 0 }}.plant, "RedrivenEventRunsAgain"},
	{"each process has a store of its own", func(h *Harness) {
		h.plant.store = func(p *process, _ store.Store) store.Store { return &watchedStore{Store: store.NewMemory(), p: p} }
	}, "SuccessorKnowsWhatWasRun ReplicasRunEachFireOnce DeathIsAnAttempt"},
	{"one attempt only", options(runner.MaxAttempts(1)), "FailedRunIsTriedAgain"},
	{"attempts without end", options(runner.MaxAttempts(1000)), "PoisonIsDeadLetteredAfterItsAttempts BrokersOwnDeadLetterSaysWhy " +
		"AttemptsSurviveARestart ReceiveLimitBuriesNoNeighbour"},
	{"busy is a failure", returning(func(err error) error {
		if _, busy := errors.AsType[*eventflow.BusyError](err); busy {
			return errBoom
		}
		return err
	}), "BusyIsNoAttempt"},
	{"a cancelled run has failed", storing{finished: func(f *store.Finish) {
		if f.State == store.Released {
			f.State = store.Failed
		}
	}}.plant, "ShutdownIsNoAttempt LostLockCancelsTheRunAndFencesIt"},
	{"a failure is forgotten with its process", storing{finished: func(f *store.Finish) {
		if f.State == store.Failed {
			f.State = store.Released
		}
	}}.plant, "AttemptsSurviveARestart"},
	{"a failure is the end", storing{finished: func(f *store.Finish) {
		if f.State == store.Failed {
			f.State, f.Outcome = store.Terminal, eventflow.Failed
		}
	}}.plant, "FailedRunIsTriedAgain"},
	{"a death is no attempt", storing{answered: func(c *store.Claim) { c.Attempts = 0 }}.plant, "DeathIsAnAttempt FireOfADeadProcessIsTakenOver"},
	{"permanent is tried again", returning(func(err error) error {
		if err != nil {
			return errBoom
		}
		return nil
	}), "PermanentFailureIsNotTriedAgain"},
	{"dead letters without a reason", subscribing(layerHooks{bury: func(f *eventflow.Failure) { f.Reason = "" }}), "BrokersOwnDeadLetterSaysWhy"},
	{"what a publisher refuses is dropped", publishing(func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error {
		_ = below.Publish(ctx, evs...)
		return nil
	}), "UnwritableDeadLetterHoldsItsLane RefusedResultIsOfferedAgainWithoutRunningAgain RefusedResultIsPublishedByTheSuccessor " +
		"TooLargeResultIsAPermanentFailure"},
	{"dead letters are dropped", publishing(func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error {
		return below.Publish(ctx, slices.DeleteFunc(slices.Clone(evs), func(ev eventflow.Event) bool { return text(ev.Attributes, "eventflow-reason") != "" })...)
	}), "UndecodableEventIsDeadLetteredAtOnce PoisonIsDeadLetteredAfterItsAttempts PermanentFailureIsNotTriedAgain"},
	{"a bad deploy drains the backlog", options(runner.PauseAfterDecodeFailures(0)), "ManyUndecodableEventsPauseTheTrigger"},
	{"what was taken is offered again", publishing(func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error {
		err := below.Publish(ctx, evs...)
		if err != nil {
			return errRefused // none was taken
		}
		return nil
	}), "RefusedResultIsOfferedAgainWithoutRunningAgain TooLargeResultIsAPermanentFailure"},
	{"events are of no lane", subscribing(layerHooks{handOver: func(_ *layer, _, out *eventflow.Delivery) { out.Lane = "" }}),
		"LaneKeepsItsOrder LaneKeepsItsOrderAcrossRestarts ReceiveLimitBuriesNoNeighbour SlowLaneDelaysNoOther UnwritableDeadLetterHoldsItsLane"},
	{"events are all of one lane", subscribing(layerHooks{handOver: func(_ *layer, _, out *eventflow.Delivery) { out.Lane = "one" }}),
		"PoisonBlocksNoNeighbour SlowLaneDelaysNoOther UnwritableDeadLetterHoldsItsLane"},
	{"lanes may take everything", subscribing(layerHooks{want: func(w *eventflow.Want) { w.PerLane = 0 }}), "SlowLaneDelaysNoOther MaxPerLaneBoundsWhatIsHeld"},
	{"renewals fail", storing{renew: func([]*store.Claim) error { return errBoom }}.plant, "LongRunKeepsItsLock"},
	{"a lost lock is not told", subscribing(layerHooks{lost: func(*layer, []*eventflow.Delivery, error) {}}),
		"LostLockCancelsTheRunAndFencesIt UnconfirmedLockEndsTheRunBeforeAnotherBegins"},
	{"a lost lock is told and not fenced", subscribing(layerHooks{lost: func(l *layer, outs []*eventflow.Delivery, err error) {
		l.listening.Lost(outs, err)
	}}), "LostLockCancelsTheRunAndFencesIt"},
	{"a source that receives behind its close", subscribing(layerHooks{close: func(l *layer, _ context.Context) error {
		l.p.b.spawn(func() {
			for l.p.b.Context().Err() == nil {
				_, _ = l.Subscriber.Next(l.p.b.Context(), eventflow.Want{Events: 100})
			}
		})
		return nil
	}}), "EventSentBehindAShutdownIsNotLost EventSentDuringAShutdownIsNotLost"},
	{"no hard stop", options(runner.HardStop(24 * time.Hour)), "DeafFlowIsNamedAndFenced"},
	{"a runner that goes on", func(h *Harness) {
		h.plant.subscriber = func(p *process, s eventflow.Subscriber) eventflow.Subscriber {
			r := p.new(eventflow.NewJob("other", func(context.Context) error { return nil }), runner.At(eventflow.Every(time.Hour)))
			p.b.spawn(func() { _ = r.Listen(p.b.Context()) })
			return s
		}
	}, "NothingIsLeftAfterListen"},
	{"a client's goroutine", subscribing(layerHooks{start: func(l *layer, _ context.Context) error {
		l.p.b.spawn(func() { <-l.p.b.Context().Done() })
		return nil
	}}), "NothingIsLeftAfterListen"},
	{"confirmations count twice", subscribing(layerHooks{confirms: 2}), "CountersBalanceInEverySample AckFollowsSuccess"},
	{"no bound of events", options(runner.MaxInFlight(1000)), "MaxInFlightBoundsWhatIsHeld BacklogDelaysNoFire"},
	{"no bound of bytes", options(runner.MaxHeldBytes(1 << 30)), "MaxHeldBytesBoundsWhatIsHeld"},
	{"no bound of a lane", options(runner.MaxPerLane(1000)), "MaxPerLaneBoundsWhatIsHeld"},
	{"fires wait", storing{slow: func(cs []store.Claim) time.Duration {
		if cs[0].Fire != nil {
			return 1500 * time.Millisecond
		}
		return 0
	}}.plant, "BacklogDelaysNoFire"},
	{"fires may overlap", storing{asked: func(c *store.Claim) {
		if c.Fire != nil {
			f := *c.Fire
			f.Overlap = ""
			c.Fire = &f
		}
	}}.plant, "ReplicasRunEachFireOnce"},
	{"the store does not ask its own clock", storing{asked: func(c *store.Claim) {
		if c.Fire != nil {
			f := *c.Fire
			f.NotBefore = time.Time{}
			c.Fire = &f
		}
	}}.plant, "SkewedReplicasRunEachFireOnce"},
	{"runs without a claim", storing{unclaimed: true}.plant, "NothingRunsWhileTheStoreIsAway"},
	{"acknowledges what is not recorded", storing{unfinished: true}.plant, "NothingIsAcknowledgedWhileTheStoreIsAway"},
	{"a fault of its source is the end", subscribing(layerHooks{fails: func(err error) error {
		return fmt.Errorf("%w: %w", eventflow.ErrFatal, err)
	}}), "SourceThatFailsIsAskedAgain"},
	{"no sweep", storing{orphans: func() []eventflow.Key { return nil }}.plant, "FireOfADeadProcessIsTakenOver FireThatWasHandedBackIsTakenOver"},
	{"a start that always works", subscribing(layerHooks{start: func(*layer, context.Context) error { return nil }}),
		"MissingTopicFailsTheStart ReceiveLimitBelowTheAttemptsFailsTheStart"},
}

var fresh atomic.Int64

func options(opts ...runner.Option) func(h *Harness) {
	return func(h *Harness) { h.plant.options = opts }
}

// returning changes what flows return.
func returning(change func(error) error) func(h *Harness) {
	return func(h *Harness) { h.plant.run = func(_ context.Context, err error) error { return change(err) } }
}

// The layers themselves are no fault: otherwise every fault would be caught by what it is planted with.
func TestLayersWithoutAFaultKeepEveryRule(t *testing.T) {
	t.Parallel()
	h := memory(true)
	subscribing(layerHooks{})(&h)
	storing{}.plant(&h)
	publishing(func(ctx context.Context, below eventflow.Publisher, evs []eventflow.Event) error {
		return below.Publish(ctx, evs...)
	})(&h)
	Run(t, h)
}

func TestPlantedFaultsAreCaught(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			h := memory(true)
			f.plant(&h)
			for name := range strings.FieldsSeq(f.rules) {
				caught := conform.Failures(t, probe(t, h), conform.Find(t, suite(), name), conform.Virtual(true))
				if len(caught) == 0 {
					t.Errorf("%s did not notice: %s", name, f.name)
				}
				for _, c := range caught {
					first, _, _ := strings.Cut(c, "\n")
					t.Logf("%s: %s", name, first)
				}
			}
		})
	}
}

// A rule that no fault breaks may be one that cannot fail.
func TestEveryRuleCatchesAPlantedFault(t *testing.T) {
	t.Parallel()
	left := map[string]bool{}
	for _, r := range Rules() {
		left[r] = true
	}
	for _, f := range faults {
		for name := range strings.FieldsSeq(f.rules) {
			delete(left, name)
		}
	}
	if len(left) > 0 {
		t.Errorf("no planted fault is caught by %v", slices.Sorted(maps.Keys(left)))
	}
}
