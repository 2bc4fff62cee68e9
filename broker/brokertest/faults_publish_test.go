package brokertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// publishFaults are faults of publishing.
var publishFaults = []fault{
	{"batch that loses its end", []string{"PublishedBatchArrivesWhole"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			return p.Publisher.Publish(ctx, evs[:min(len(evs), 100)]...)
		}
	}},
	{"empty publish refused", []string{"PublishingNothingIsNoError"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			if len(evs) == 0 {
				return errFault
			}
			return p.Publisher.Publish(ctx, evs...)
		}
	}},
	{"publisher for one goroutine", []string{"ConcurrentPublishersLoseNothing"}, func(w *wrapped) {
		busy := false
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			p.w.mu.Lock()
			other := busy
			busy = true
			p.w.mu.Unlock()
			if other {
				return nil // lost in a race
			}
			time.Sleep(time.Millisecond)
			defer func() {
				p.w.mu.Lock()
				busy = false
				p.w.mu.Unlock()
			}()
			return p.Publisher.Publish(ctx, evs...)
		}
	}},
	{"publish error indexes off by one", []string{"PublishErrorsNameTheirEvents"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			err := p.Publisher.Publish(ctx, evs...)
			if pe, ok := errors.AsType[*eventflow.PublishError](err); ok {
				for i := range pe.Failed {
					pe.Failed[i].Index++
				}
			}
			return err
		}
	}},
	{"all refused because of one", []string{"PublishErrorsNameTheirEvents"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			if len(evs) == 1 {
				return p.Publisher.Publish(ctx, evs...)
			}
			pe := &eventflow.PublishError{}
			for i := range evs {
				if len(evs[i].Data) > p.w.Features().MaxEvent {
					pe.Failed = append(pe.Failed, eventflow.ItemError{Index: i, Err: eventflow.ErrTooLarge})
				}
			}
			if len(pe.Failed) > 0 {
				return pe
			}
			return p.Publisher.Publish(ctx, evs...)
		}
	}},
	{"too large without a type", []string{"TooLargeEventIsErrTooLarge", "PublishErrorsNameTheirEvents"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			if err := p.Publisher.Publish(ctx, evs...); err != nil {
				return fmt.Errorf("publish: %v", err) //nolint:errorlint // that is the fault
			}
			return nil
		}
	}},
	{"limit above what fits", []string{"BiggestEventFits"}, func(w *wrapped) {
		w.features = func(w *wrapped) eventflow.Features {
			f := w.Broker.Features()
			f.MaxEvent++
			return f
		}
	}},
	{"publish that says nothing of what it took", []string{"PublishWithAnEndedContextSaysWhatItTook"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			if err := p.Publisher.Publish(context.WithoutCancel(ctx), evs...); err != nil {
				return err
			}
			return ctx.Err()
		}
	}},
	{"events that are dropped when there is no room", []string{"FullGroupMakesPublishersWait"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := p.Publisher.Publish(ctx, evs...); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		}
	}},
	{"publisher that keeps the slice", []string{"PublishersSliceIsTheirsAgain"}, func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			time.AfterFunc(time.Second, func() {
				p.w.mu.Lock() // after the rule's writes, for the race detector
				kept := append([]eventflow.Event(nil), evs...)
				p.w.mu.Unlock()
				_ = p.Publisher.Publish(context.WithoutCancel(ctx), kept...)
			})
			return nil
		}
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			s.w.mu.Lock()
			s.w.mu.Unlock() //nolint:staticcheck,gocritic // orders the rule's writes before the late publish
			return s.receive(ctx, want)
		}
	}},
	{"IDs that change when an event comes back", []string{"EventsWithoutIDGetOneThatStays"}, func(w *wrapped) {
		n := 0
		w.handOver = func(s *wrappedSubscriber, d *eventflow.Delivery) {
			s.w.mu.Lock()
			defer s.w.mu.Unlock()
			if strings.HasPrefix(d.Event.Source, "memory/") {
				n++
				d.Event.ID = fmt.Sprint("receipt-", n)
			}
		}
	}},
	{"one ID for all", []string{"EventsWithoutIDGetOneThatStays"}, changesEvent(func(ev *eventflow.Event) {
		if ev.ID == "" {
			ev.ID = "message"
		}
	})},
}

// fidelityFaults are faults of what an event carries.
var fidelityFaults = []fault{
	{"content type lost", []string{"AttributesOfCloudEventsSurvive", "RedeliveredEventIsTheSame"}, changesEvent(func(ev *eventflow.Event) { ev.DataContentType = "" })},
	{"schema lost", []string{"AttributesOfCloudEventsSurvive"}, changesEvent(func(ev *eventflow.Event) { ev.DataSchema = "" })},
	{"source of the broker", []string{"AttributesOfCloudEventsSurvive"}, changesEvent(func(ev *eventflow.Event) { ev.Source = "/topic" })},
	{"key lost", []string{"KeySurvives", "UnusualKeysSurvive"}, changesEvent(func(ev *eventflow.Event) { ev.Key = "" })},
	{"key escaped", []string{"UnusualKeysSurvive"}, changesEvent(func(ev *eventflow.Event) { ev.Key = strings.ToValidUTF8(ev.Key, "?") })},
	{"time cut", []string{"TimeSurvivesToTheNanosecond"}, changesEvent(func(ev *eventflow.Event) { ev.Time = ev.Time.Truncate(time.Microsecond) })},
	{"types flattened", []string{"ExtensionsKeepTheirTypes"}, attributes(func(as eventflow.Attributes) eventflow.Attributes {
		var out eventflow.Attributes
		for _, a := range as {
			out = append(out, eventflow.Attribute{Name: a.Name, Value: fmt.Sprint(a.Value)})
		}
		return out
	})},
	{"small integers widened", []string{"ExtensionsKeepTheirTypes"}, attributes(func(as eventflow.Attributes) eventflow.Attributes {
		var out eventflow.Attributes
		for _, a := range as {
			if v, ok := a.Value.(int32); ok {
				a.Value = int64(v)
			}
			out = append(out, a)
		}
		return out
	})},
	{"repeated names collapsed", []string{"ExtensionsKeepTheirOrderAndRepeat"}, attributes(func(as eventflow.Attributes) eventflow.Attributes {
		var out eventflow.Attributes
		for _, a := range as {
			out = append(out.Without(a.Name), a)
		}
		return out
	})},
	{"values cut at NUL", []string{"EveryByteSurvives"}, changesEvent(func(ev *eventflow.Event) { ev.Data, _, _ = bytes.Cut(ev.Data, []byte{0}) })},
	{"data made valid UTF-8", []string{"EveryByteSurvives", "BiggestEventFits"}, changesEvent(func(ev *eventflow.Event) { ev.Data = bytes.ToValidUTF8(ev.Data, []byte("?")) })},
	{"no data made null", []string{"EmptyDataIsEmpty", "EmptyDataIsNotNoData"}, changesEvent(func(ev *eventflow.Event) {
		if ev.Data == nil {
			ev.Data = []byte("null")
		}
	})},
	{"empty data made none", []string{"EmptyDataIsNotNoData"}, changesEvent(func(ev *eventflow.Event) {
		if len(ev.Data) == 0 {
			ev.Data = nil
		}
	})},
	{"text trimmed", []string{"UnusualTextSurvives"}, changesEvent(func(ev *eventflow.Event) { ev.Subject = strings.TrimSpace(ev.Subject) })},
	{"names in lower case", []string{"UnusualExtensionNamesSurvive"}, attributes(func(as eventflow.Attributes) eventflow.Attributes {
		var out eventflow.Attributes
		for _, a := range as {
			out = append(out, eventflow.Attribute{Name: strings.ToLower(a.Name), Value: a.Value})
		}
		return out
	})},
	{"metadata lost", []string{"RedeliveredEventIsTheSame"}, changes(func(d *eventflow.Delivery) {
		if d.Receives > 1 {
			d.Event.Attributes = nil
		}
	})},
}

// deadLetterFaults are faults of dead letters.
var deadLetterFaults = []fault{
	{"dead letter that is not acknowledged", []string{"DeadLetterIsSafeOrTheEventIsOpen"}, func(w *wrapped) {
		dead := map[*eventflow.Delivery]bool{}
		w.deadLetter = func(s *wrappedSubscriber, ctx context.Context, d *eventflow.Delivery, _ eventflow.Failure) error {
			s.w.mu.Lock()
			defer s.w.mu.Unlock()
			dead[d] = true
			return ctx.Err()
		}
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.w.mu.Lock()
			skip := dead[ds[0]]
			s.w.mu.Unlock()
			if skip {
				s.tellSettled(ds, nil)
				return
			}
			s.pass(ds, st)
		}
	}},
	{"dead letter lost", []string{"DeadLettersHoldTheEventAndItsReason"}, func(w *wrapped) {
		w.deadLetter = func(s *wrappedSubscriber, _ context.Context, d *eventflow.Delivery, _ eventflow.Failure) error {
			s.w.inner(d).Ack()
			return nil
		}
	}},
	{"dead letter without its reason", []string{"DeadLettersHoldTheEventAndItsReason"}, func(w *wrapped) {
		w.deadLetter = func(s *wrappedSubscriber, ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
			f.Reason = "DeliveryCountExceeded"
			return s.write(ctx, d, f)
		}
	}},
	{"dead letter acked before it is written", []string{"FailedDeadLetterLeavesTheEvent", "DeadLetterIsSafeOrTheEventIsOpen"}, func(w *wrapped) {
		w.deadLetter = func(s *wrappedSubscriber, ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
			err := s.write(ctx, d, f)
			s.w.inner(d).Ack()
			return err
		}
	}},
	{"dead letter whose error is swallowed", []string{"FailedDeadLetterLeavesTheEvent", "DeadLetterIsSafeOrTheEventIsOpen"}, func(w *wrapped) {
		w.deadLetter = func(s *wrappedSubscriber, ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
			_ = s.write(ctx, d, f)
			return nil
		}
	}},
	{"receive limit that takes the neighbours", []string{"ReceiveLimitDeadLettersOnlyItsEvent"}, func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			s.pass(ds, st)
			if ds[0].Receives < 3 {
				return
			}
			for _, in := range s.held() {
				_ = in.DeadLetter(context.Background(), eventflow.Failure{Reason: "receives"})
			}
		}
	}},
	{"redrive that is not told", []string{"RedrivenEventSaysSo"}, changes(func(d *eventflow.Delivery) { d.Redrive = 0 })},
}
