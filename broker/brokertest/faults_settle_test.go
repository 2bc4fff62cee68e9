package brokertest_test

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
)

// settlementFaults are faults of settlements.
var settlementFaults = []fault{
	{"nack that drops", []string{"NackedAndReleasedEventsComeBack", "SettlementsMayComeInAnyOrder", "FirstSettlementWins"}, becomes(eventflow.Nack, eventflow.Ack)},
	{"release that drops", []string{"NackedAndReleasedEventsComeBack", "SettleAllSettlesEach"}, becomes(eventflow.Release, eventflow.Ack)},
	{"ack that gives back", []string{"AckIsFinal", "SettlementsMayComeInAnyOrder", "FirstSettlementWins"}, becomes(eventflow.Ack, eventflow.Release)},
	{"ack ignored", []string{"AckIsFinal", "AckBeforeCloseIsWritten"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb != eventflow.Ack {
				s.pass(ds, st)
				return
			}
			s.tellSettled(ds, nil)
		}
	}},
	{"ack after which the lock lapses", []string{"AckIsFinalWhenItsLockWouldHaveEnded"}, becomes(eventflow.Ack, eventflow.Abandon)},
	{"acks that Close does not write", []string{"AckBeforeCloseIsWritten"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb != eventflow.Ack {
				s.pass(ds, st)
				return
			}
			ds = append([]*eventflow.Delivery(nil), ds...)
			time.AfterFunc(time.Second, func() { s.pass(ds, st) })
		}
	}},
	{"ack that also acks the neighbour", []string{"AckLeavesItsNeighboursAlone"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.pass(ds, st)
			if held := s.held(); st.Verb == eventflow.Ack && len(held) > 0 {
				held[0].Ack()
			}
		}
	}},
	{"mark past a gap", []string{"AckPastAGapKeepsTheGap"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.pass(ds, st)
			for _, in := range s.held() {
				if st.Verb == eventflow.Ack && in.Lane == ds[0].Lane && in.Event.ID < ds[0].Event.ID {
					in.Ack()
				}
			}
		}
	}},
	{"SettleAll that settles the first", []string{"SettleAllSettlesEach", "AckIsFinal"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) { s.pass(ds[:1], st) }
	}},
	{"last settlement wins", []string{"FirstSettlementWins"}, func(w *wrapped) {
		// The broker hears of the nack and settles only then, when the flag of an ack is there too.
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb == eventflow.Release {
				st.Verb = eventflow.Nack
			}
			s.pass(ds, st)
		}
	}},
	{"settlements that overwrite each other", []string{"ConcurrentSettlementsAreAllKept"}, func(w *wrapped) {
		busy := false
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.w.mu.Lock()
			other := busy
			busy = true
			s.w.mu.Unlock()
			if other {
				return
			}
			time.Sleep(time.Millisecond)
			s.pass(ds, st)
			s.w.mu.Lock()
			busy = false
			s.w.mu.Unlock()
		}
	}},
	{"Settled not called", []string{"SettledIsToldOnceForEachWithItsNote"}, func(w *wrapped) {
		w.settled = func(*wrappedSubscriber, []*eventflow.Delivery, error) {}
	}},
	{"Settled called twice", []string{"SettledIsToldOnceForEachWithItsNote", "FirstSettlementWins", "SettleAllSettlesEach"}, func(w *wrapped) {
		w.settled = func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error) {
			s.tellSettled(ds, err)
			s.tellSettled(ds, err)
		}
	}},
	{"Settled not called for Abandon", []string{"SettledIsToldOnceForEachWithItsNote"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb != eventflow.Abandon {
				s.pass(ds, st)
			}
		}
	}},
	{"double delivery", []string{"AckIsFinal", "CancelledNextsLoseNothing", "ConsumersShareTheEventsOfTheirGroup", "PublishedBatchArrivesWhole"}, func(w *wrapped) {
		var again *eventflow.Delivery
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			s.w.mu.Lock()
			in := again
			again = nil
			s.w.mu.Unlock()
			if in != nil {
				return []*eventflow.Delivery{s.outer(in)}, nil
			}
			ds, err := s.receive(ctx, want)
			if err == nil {
				in := s.w.inner(ds[0])
				s.w.mu.Lock()
				again = in
				s.w.mu.Unlock()
			}
			return ds, err
		}
	}},
}

// attemptFaults are faults of attempts.
var attemptFaults = []fault{
	{"attempt lost", []string{"NackCountsAnAttempt", "AttemptsAreOfOneEvent", "AttemptsSurviveTheirConsumer"}, becomes(eventflow.Nack, eventflow.Release)},
	{"release counted", []string{"ReleaseCountsNoAttempt", "AttemptsAreOfOneEvent"}, becomes(eventflow.Release, eventflow.Nack)},
	{"receives taken for attempts", []string{"ReleaseCountsNoAttempt", "AttemptsAreOfOneEvent", "CloseHandsBackAtOnce", "AbandonedEventComesBackWhenItsLockEnds", "CrashedConsumersEventsComeBack"},
		changes(func(d *eventflow.Delivery) { d.Attempts = d.Receives - 1 })},
	{"Attempted forgotten", []string{"AttemptedCountsAndKeepsTheDelivery", "AttemptsSurviveTheirConsumer"}, func(w *wrapped) {
		w.attempted = func(*wrappedSubscriber, []*eventflow.Delivery) {}
	}},
	{"Attempted that gives back", []string{"AttemptedCountsAndKeepsTheDelivery"}, func(w *wrapped) {
		w.attempted = func(s *wrappedSubscriber, ds []*eventflow.Delivery) {
			s.pass(ds, eventflow.Settlement{Verb: eventflow.Nack})
		}
	}},
	{"receives not counted", []string{"ReceivesCountHandOvers"}, changes(func(d *eventflow.Delivery) { d.Receives = 1 })},
}

// delayFaults are faults of delays.
var delayFaults = []fault{
	{"delay ignored", []string{"NackedEventWaitsItsDelay", "ReleasedEventWaitsItsDelay", "DelaysAreOfOneEventEach", "DelayedEventHoldsItsLaneAndNoOther"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			st.After = 0
			s.pass(ds, st)
		}
	}},
	{"one delay for all", []string{"DelaysAreOfOneEventEach"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			st.After = min(st.After, 30*time.Second)
			s.pass(ds, st)
		}
	}},
	{"delayed event that goes with its consumer", []string{"DelayedEventSurvivesItsConsumer"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.After > 0 {
				st.Verb = eventflow.Ack
			}
			s.pass(ds, st)
		}
	}},
	{"delay that blocks every lane", []string{"DelayedEventHoldsItsLaneAndNoOther"}, func(w *wrapped) {
		var until time.Time
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.w.mu.Lock()
			until = time.Now().Add(st.After)
			s.w.mu.Unlock()
			s.pass(ds, st)
		}
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			s.w.mu.Lock()
			wait := time.Until(until)
			s.w.mu.Unlock()
			select {
			case <-time.After(wait):
				return s.receive(ctx, want)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}},
}

// lockFaults are faults of locks.
var lockFaults = []fault{
	{"no end of the lock given", []string{"LockEndsWithinItsDuration"}, changes(func(d *eventflow.Delivery) { d.LockedUntil = time.Time{} })},
	{"end of the lock too late", []string{"LockEndsWithinItsDuration"}, changes(func(d *eventflow.Delivery) { d.LockedUntil = d.LockedUntil.Add(time.Hour) })},
	{"lock not renewed", []string{"HeldEventIsNotHandedOverAgain"}, func(w *wrapped) {
		w.handOver = func(s *wrappedSubscriber, d *eventflow.Delivery) {
			s.w.inner(d).Settle(eventflow.Settlement{Verb: eventflow.Abandon})
		}
	}},
	{"live consumer's lock lost", []string{"HeldEventIsNotHandedOverAgain"}, func(w *wrapped) {
		w.handOver = func(s *wrappedSubscriber, d *eventflow.Delivery) {
			time.AfterFunc(s.w.setup.Lock, func() {
				if s.w.inner(d).Open() {
					s.tellLost([]*eventflow.Delivery{d}, eventflow.ErrLockLost)
				}
			})
		}
	}},
	{"Abandon that gives back", []string{"AbandonedEventComesBackWhenItsLockEnds", "AbandonedEventHoldsItsLane"}, becomes(eventflow.Abandon, eventflow.Release)},
	{"Abandon that drops", []string{"AbandonedEventComesBackWhenItsLockEnds", "AbandonedEventHoldsItsLane"}, becomes(eventflow.Abandon, eventflow.Ack)},
	{"loss not told", []string{"LostLockIsToldAndFenced", "SettlementAfterTheLossDoesNothing", "UnconfirmedLockIsLostBeforeItEnds"}, func(w *wrapped) {
		w.lost = func(*wrappedSubscriber, []*eventflow.Delivery, error) {}
	}},
	{"loss told twice", []string{"LostLockIsToldAndFenced"}, func(w *wrapped) {
		w.lost = func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error) {
			s.tellLost(ds, err)
			s.tellLost(ds, err)
		}
	}},
	{"loss with another error", []string{"LostLockIsToldAndFenced"}, func(w *wrapped) {
		w.lost = func(s *wrappedSubscriber, ds []*eventflow.Delivery, _ error) { s.tellLost(ds, errFault) }
	}},
	{"loss told too late", []string{"UnconfirmedLockIsLostBeforeItEnds"}, func(w *wrapped) {
		w.lost = func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error) {
			time.AfterFunc(s.w.setup.Lock, func() { s.tellLost(ds, err) })
		}
	}},
	{"settle after lost", []string{"SettlementAfterTheLossDoesNothing"}, func(w *wrapped) {
		w.lost = func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error) { s.listening.Lost(ds, err) } // no fence
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			for _, d := range ds { // by event, not by hand-over
				s.w.mu.Lock()
				in := s.w.latest[d.Event.ID]
				s.w.mu.Unlock()
				in.Settle(st)
			}
		}
	}},
	{"crash that drops", []string{"CrashedConsumersEventsComeBack"}, func(w *wrapped) {
		w.handOver = func(s *wrappedSubscriber, d *eventflow.Delivery) { // acknowledged by receiving it
			s.w.inner(d).Ack()
		}
	}},
}
