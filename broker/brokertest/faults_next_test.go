package brokertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

// openFaults are faults of opening.
var openFaults = []fault{
	{"features that change by use", []string{"FeaturesDoNotChange"}, func(w *wrapped) {
		n := 0
		w.features = func(w *wrapped) eventflow.Features {
			w.mu.Lock()
			defer w.mu.Unlock()
			n++
			f := w.Broker.Features()
			f.MaxEvent += n
			return f
		}
	}},
	{"options that are not applied", []string{"OptionErrorsAreReturned", "ForeignOptionsAreRefused"}, func(w *wrapped) {
		w.options = func([]eventflow.SubscriberOption) []eventflow.SubscriberOption { return nil }
	}},
	{"publisher options that are not applied", []string{"OptionErrorsAreReturned", "ForeignOptionsAreRefused"}, func(w *wrapped) {
		w.foreign = func([]eventflow.PublisherOption) []eventflow.PublisherOption { return nil }
	}},
	{"groups that are promised away and taken", []string{"GroupsAreRefusedWhereThereAreNone"}, func(w *wrapped) {
		w.features = func(w *wrapped) eventflow.Features {
			f := w.Broker.Features()
			f.Groups = false
			return f
		}
	}},
	{"missing topic made by using it", []string{"MissingTopicFailsOnUseNotOnOpening"}, func(w *wrapped) {
		w.topic = func(name string) string {
			if name == "missing" {
				return "topic-1"
			}
			return name
		}
	}},
}

// nextFaults are faults of Next.
var nextFaults = []fault{
	{"Next that needs a Start", []string{"NextStartsByItself"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			if s.listening.Settled == nil {
				return nil, fmt.Errorf("not started: %w", eventflow.ErrFatal)
			}
			return s.receive(ctx, want)
		}
	}},
	{"deliveries and an error", []string{"NextWaitsForAnEvent", "NextKeepsWithinEvents"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ds, err := s.receive(ctx, want)
			if err == nil {
				err = errFault
			}
			return ds, err
		}
	}},
	{"neither deliveries nor an error", []string{"NextWaitsForAnEvent", "NextEndsWithItsContext"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			ds, err := s.receive(ctx, want)
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return ds, err
		}
	}},
	{"waiting Next that nobody wakes", []string{"NextWaitsForAnEvent", "ReleasedEventWakesAWaitingNext", "AckMakesRoomForAWaitingNext"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			look, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			ds, err := s.receive(look, want)
			if errors.Is(err, context.DeadlineExceeded) {
				<-ctx.Done()
			}
			return ds, err
		}
	}},
	{"context ignored", []string{"NextEndsWithItsContext"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
			defer cancel()
			return s.receive(ctx, want)
		}
	}},
	{"another error for an ended context", []string{"NextEndsWithItsContext", "NextWithAnEndedContextLosesNothing"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ds, err := s.receive(ctx, want)
			if ctx.Err() != nil && err != nil {
				err = errFault
			}
			return ds, err
		}
	}},
	{"event dropped that was on its way when its Next was cancelled", []string{"NextWithAnEndedContextLosesNothing", "CancelledNextsLoseNothing"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ds, err := s.receive(ctx, want)
			if ctx.Err() == nil {
				return ds, err
			}
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Millisecond)
			defer cancel()
			_, _ = s.receive(late, eventflow.Want{Events: 1})
			return nil, ctx.Err()
		}
	}},
}

// wantFaults are faults of the bounds of Next.
var wantFaults = []fault{
	{"Events ignored", []string{"NextKeepsWithinEvents"}, wants(func(want *eventflow.Want) { want.Events = 100 })},
	{"PerLane ignored", []string{"NextKeepsWithinPerLaneOverCalls", "PerLaneLetsOtherLanesPass"}, wants(func(want *eventflow.Want) { want.PerLane = 0 })},
	{"PerLane of each call alone", []string{"NextKeepsWithinPerLaneOverCalls"}, func(w *wrapped) {
		n := 0
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			if want.PerLane > 0 {
				n += want.PerLane
				want.Events, want.PerLane = min(want.Events, want.PerLane), n
			}
			return s.receive(ctx, want)
		}
	}},
	{"events without a lane counted as one lane", []string{"PerLaneDoesNotBoundEventsWithoutALane"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			if want.PerLane > 0 {
				if want.Events = min(want.Events, want.PerLane-len(s.held())); want.Events < 1 {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
			return s.receive(ctx, want)
		}
	}},
	{"Bytes ignored", []string{"NextKeepsWithinBytes", "EventBiggerThanBytesComesAlone"}, wants(func(want *eventflow.Want) { want.Bytes = 0 })},
	{"event bigger than Bytes never handed over", []string{"EventBiggerThanBytesComesAlone"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			for {
				ds, err := s.receive(ctx, want)
				if err != nil || want.Bytes == 0 || len(ds[0].Event.Data) <= want.Bytes {
					return ds, err
				}
			}
		}
	}},
	{"slow lane that takes every slot", []string{"PerLaneLetsOtherLanesPass"}, func(w *wrapped) {
		// Full lanes are found after the hand-over, and the caller waits for them.
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			s.w.mu.Lock()
			full := map[string]int{}
			for out, in := range s.w.of {
				if in.Open() {
					full[out.Lane]++
				}
			}
			s.w.mu.Unlock()
			for _, n := range full {
				if want.PerLane > 0 && n >= want.PerLane {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
			return s.receive(ctx, want)
		}
	}},
}
