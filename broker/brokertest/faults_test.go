package brokertest_test

import (
	"context"
	"errors"
	"slices"

	"github.com/eventflow-go/eventflow"
)

// fault is a broker that does one thing wrong, and the rules that must notice.
type fault struct {
	name  string
	rules []string
	plant func(w *wrapped)
}

var errFault = errors.New("a planted fault")

// becomes settles with another verb.
func becomes(from, to eventflow.Verb) func(w *wrapped) {
	return func(w *wrapped) {
		w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
			if st.Verb == from {
				st.Verb = to
			}
			s.pass(ds, st)
		}
	}
}

// changes lays a change over what is handed over.
func changes(change func(d *eventflow.Delivery)) func(w *wrapped) {
	return func(w *wrapped) {
		w.handOver = func(_ *wrappedSubscriber, d *eventflow.Delivery) { change(d) }
	}
}

// changesEvent changes what is published.
func changesEvent(change func(ev *eventflow.Event)) func(w *wrapped) {
	return func(w *wrapped) {
		w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
			out := append([]eventflow.Event(nil), evs...)
			for i := range out {
				change(&out[i])
			}
			return p.Publisher.Publish(ctx, out...)
		}
	}
}

// wants changes what is asked for.
func wants(change func(want *eventflow.Want)) func(w *wrapped) {
	return func(w *wrapped) {
		w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
			change(&want)
			return s.receive(ctx, want)
		}
	}
}

func attributes(change func(as eventflow.Attributes) eventflow.Attributes) func(w *wrapped) {
	return changesEvent(func(ev *eventflow.Event) { ev.Attributes = change(ev.Attributes) })
}

// faults are all of them.
var faults = slices.Concat(openFaults, nextFaults, wantFaults, settlementFaults, attemptFaults, delayFaults, lockFaults,
	laneFaults, groupFaults, closeFaults, publishFaults, fidelityFaults, deadLetterFaults)
