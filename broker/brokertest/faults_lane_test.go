package brokertest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// laneFaults are faults of lanes.
var laneFaults = []fault{
	{"lane without order", []string{"LaneKeepsItsOrder"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			for i := range evs {
				if strings.HasSuffix(evs[i].ID, "-3") { // overtaken by what is behind it
					time.AfterFunc(time.Second, func() { _ = p.Publisher.Publish(context.WithoutCancel(ctx), evs[i]) })
				} else if err := p.Publisher.Publish(ctx, evs[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}},
	{"order lost after nack", []string{"NackedEventComesBackBeforeItsLane"}, toTheEnd(eventflow.Nack)},
	{"order lost after release", []string{"ReleasedEventComesBackBeforeItsLane", "ReleasedLaneComesBackInOrder"}, toTheEnd(eventflow.Release)},
	{"order lost after close", []string{"ClosedConsumersLaneComesBackInOrder"}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			p, err := s.w.Broker.OpenPublisher("topic-1")
			if err != nil {
				return s.Subscriber.Close(ctx) // the broker is closed
			}
			for _, in := range s.held() {
				in.Ack()
				if err := p.Publish(ctx, in.Event); err != nil {
					return err
				}
			}
			return s.Subscriber.Close(ctx)
		}
	}},
	{"lane that goes on beside an abandoned event", []string{"AbandonedEventHoldsItsLane"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb != eventflow.Abandon {
				s.pass(ds, st)
				return
			}
			s.pass(ds, eventflow.Settlement{Verb: eventflow.Ack})
			time.AfterFunc(s.w.setup.Lock, func() {
				if p, err := s.w.Broker.OpenPublisher("topic-1"); err == nil {
					for _, d := range ds {
						_ = p.Publish(context.Background(), d.Event)
					}
				}
			})
		}
	}},
	{"lane of several consumers", []string{"LaneHasOneConsumerAtATime"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			out := append([]eventflow.Event(nil), evs...)
			for i := range out {
				out[i].Subject, out[i].Key = out[i].Key, ""
			}
			return p.Publisher.Publish(ctx, out...)
		}
		w.handOver = func(_ *wrappedSubscriber, d *eventflow.Delivery) {
			d.Lane, d.Event.Key = d.Event.Subject, d.Event.Subject
		}
	}},
}

// groupFaults are faults of groups.
var groupFaults = []fault{
	{"cursor shared by groups", []string{"GroupsEachSeeEveryEvent", "GroupsSettleApart"}, func(w *wrapped) {
		w.options = func(opts []eventflow.SubscriberOption) []eventflow.SubscriberOption { return opts[:0] }
	}},
	{"group without sharing", []string{"ConsumersShareTheEventsOfTheirGroup"}, func(w *wrapped) {
		n := 0
		w.options = func([]eventflow.SubscriberOption) []eventflow.SubscriberOption {
			n++
			return []eventflow.SubscriberOption{eventflow.Group(fmt.Sprint("g", n))}
		}
	}},
	{"one topic for all", []string{"TopicsAreApart"}, func(w *wrapped) { w.topic = func(string) string { return "topic-1" } }},
}

// closeFaults are faults of closing.
var closeFaults = []fault{
	{"Next after close that waits", []string{"NextAfterCloseIsErrClosed", "CloseWakesAWaitingNext", "BrokerCloseClosesWhatItOpened"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ds, err := s.receive(ctx, want)
			if errors.Is(err, eventflow.ErrClosed) {
				wait, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				<-wait.Done()
				return nil, wait.Err()
			}
			return ds, err
		}
	}},
	{"another error after close", []string{"NextAfterCloseIsErrClosed", "CloseWakesAWaitingNext", "CloseUnderLoadLosesAndDoublesNothing", "BrokerCloseClosesWhatItOpened"}, func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			ds, err := s.receive(ctx, want)
			if errors.Is(err, eventflow.ErrClosed) {
				err = fmt.Errorf("%w: use of closed connection", eventflow.ErrFatal)
			}
			return ds, err
		}
	}},
	{"second close that fails", []string{"SecondCloseIsANoOp"}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			s.w.mu.Lock()
			again := s.closed
			s.closed = true
			s.w.mu.Unlock()
			if again {
				return eventflow.ErrClosed
			}
			return s.Subscriber.Close(ctx)
		}
	}},
	{"second close that hands back", []string{"SecondCloseIsANoOp"}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			s.w.mu.Lock()
			again := s.closed
			s.closed = true
			s.w.mu.Unlock()
			if again {
				eventflow.SettleAll(s.held(), eventflow.Settlement{Verb: eventflow.Release})
			}
			return s.Subscriber.Close(ctx)
		}
	}},
	{"close that drops", []string{
		"CloseHandsBackAtOnce", "CloseHandsBackToAWaitingConsumer", "CloseUnderLoadLosesAndDoublesNothing", "AckLeavesItsNeighboursAlone",
		"ClosedConsumersLaneComesBackInOrder",
	}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			eventflow.SettleAll(s.held(), eventflow.Settlement{Verb: eventflow.Ack})
			return s.Subscriber.Close(ctx)
		}
	}},
	{"close that lets the locks lapse", []string{"CloseHandsBackAtOnce", "CloseHandsBackToAWaitingConsumer", "CloseUnderLoadLosesAndDoublesNothing", "SettlementAfterCloseDoesNothing"}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			eventflow.SettleAll(s.held(), eventflow.Settlement{Verb: eventflow.Abandon})
			return s.Subscriber.Close(ctx)
		}
	}},
	{"close that counts attempts", []string{"CloseHandsBackAtOnce"}, func(w *wrapped) {
		w.close = func(s *wrappedSubscriber, ctx context.Context) error {
			eventflow.SettleAll(s.held(), eventflow.Settlement{Verb: eventflow.Nack})
			return s.Subscriber.Close(ctx)
		}
	}},
	{"settle after close", []string{"SettlementAfterCloseDoesNothing"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			for _, d := range ds {
				s.w.mu.Lock()
				in := s.w.latest[d.Event.ID]
				s.w.mu.Unlock()
				in.Settle(st)
			}
		}
	}},
	{"publisher that cannot be closed", []string{"PublishAfterCloseIsErrClosed"}, func(w *wrapped) {
		w.closePublisher = func(*wrappedPublisher, context.Context) error { return nil }
	}},
	{"broker that leaves its subscribers", []string{"BrokerCloseClosesWhatItOpened", "NoGoroutineOutlivesTheBroker"}, func(w *wrapped) {
		w.closeBroker = func(*wrapped, context.Context) error { return nil }
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			over := make(chan struct{})
			s.w.t.Cleanup(func() { close(over) })
			go func() { <-over }()
			return s.receive(ctx, want)
		}
	}},
	{"goroutine of each subscriber", []string{"NoGoroutineOutlivesItsSubscriber", "NoGoroutineOutlivesTheBroker"}, func(w *wrapped) {
		w.start = func(s *wrappedSubscriber, ctx context.Context, l eventflow.Listening) error {
			over := make(chan struct{})
			s.w.t.Cleanup(func() { close(over) })
			go func() { <-over }()
			return s.Subscriber.Start(ctx, l)
		}
	}},
}

// toTheEnd gives an event back behind its lane.
func toTheEnd(v eventflow.Verb) func(w *wrapped) {
	return func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb != v {
				s.pass(ds, st)
				return
			}
			p, err := s.w.Broker.OpenPublisher("topic-1")
			if err != nil {
				return
			}
			s.pass(ds, eventflow.Settlement{Verb: eventflow.Ack})
			for _, d := range ds {
				_ = p.Publish(context.Background(), d.Event)
			}
		}
	}
}
