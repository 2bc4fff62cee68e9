package sim

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// publisher is a topic as a runner publishes to it.
type publisher struct {
	n     *node
	topic string
	inner eventflow.Publisher
}

func (n *node) publisher(topic string) *publisher {
	return &publisher{n: n, topic: topic, inner: n.p.w.mem.Publisher(topic)}
}

func (p *publisher) Close(context.Context) error { return nil }

func (p *publisher) Publish(ctx context.Context, evs ...eventflow.Event) error {
	w := p.n.p.w
	w.mu.Lock()
	w.calls++
	if !p.n.p.dead {
		for i := range evs {
			p.checkEvent(&evs[i])
		}
	}
	down := time.Now().Before(w.noMQ)
	w.mu.Unlock()
	s := atPublish
	if p.topic == deadTopic {
		s = atDead
	}
	f, err := p.n.p.at(s)
	if err != nil {
		return err
	}
	if down || f.Kind == failDead {
		p.trouble(evs)
		return errDown
	}
	err = p.publish(ctx, f, evs)
	if _, dead := p.n.p.at(s + 1); dead != nil {
		return dead
	}
	return err
}

func (p *publisher) trouble(evs []eventflow.Event) {
	p.n.p.w.mu.Lock()
	defer p.n.p.w.mu.Unlock()
	for i := range evs {
		if p.topic == deadTopic {
			if k := p.keyOf(&evs[i]); k != nil {
				k.trouble++
			}
		}
	}
}

// publish hands the events to the broker, but for those that a fault refuses, and notes what it took.
func (p *publisher) publish(ctx context.Context, f fault, evs []eventflow.Event) error {
	w := p.n.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	refused := &eventflow.PublishError{}
	var pass []eventflow.Event
	for i := range evs {
		if f.Kind == refuse && (i+f.N)%2 == 0 || f.Kind == unconfirm && i < f.N {
			refused.Failed = append(refused.Failed, eventflow.ItemError{Index: i, Err: errDown})
		} else if o := originOf(&evs[i]); o != nil && o.run != nil && p.topic != deadTopic {
			o.run.acked[o.ord] = true
		}
		if f.Kind != refuse || (i+f.N)%2 != 0 {
			pass = append(pass, evs[i])
		}
	}
	if len(pass) > 0 {
		if err := p.inner.Publish(ctx, pass...); err != nil {
			return err
		}
	}
	for i := range pass {
		w.took(p.topic, &pass[i])
		if p.topic == deadTopic {
			if k := p.keyOf(&pass[i]); k != nil {
				k.dead++
			}
		}
	}
	if len(refused.Failed) > 0 {
		return refused
	}
	return nil
}

// keyOf gives the key of the event that a dead letter is of.
func (p *publisher) keyOf(ev *eventflow.Event) *key {
	if ev.Type == "eventflow.fire.failed" {
		for k, r := range p.n.p.w.keys {
			if k.String() == ev.ID {
				return r
			}
		}
		return nil
	}
	return p.n.p.w.keys[eventflow.Key{Flow: flowNames[p.n.flow], Binding: p.n.sub.topic, Source: ev.Source, ID: ev.ID}]
}

// checkEvent checks that an event may be published by its run, and its ID. The caller holds world.mu.
func (p *publisher) checkEvent(ev *eventflow.Event) {
	n, w := p.n, p.n.p.w
	if n.returned {
		w.brokenf(promptly, "%v publishes %s after Listen returned", n, ev.ID)
	}
	o := originOf(ev)
	if p.topic == deadTopic {
		k := p.keyOf(ev)
		if k == nil {
			w.brokenf(exactly, "%v dead-letters %s, which has no key", n, ev.ID)
			return
		}
		said := map[string]string{}
		for _, a := range ev.Attributes {
			if v, ok := a.Value.(string); ok {
				said[strings.TrimPrefix(a.Name, "eventflow-")] = v
			}
		}
		attempts, _ := strconv.Atoi(said["attempts"])
		n.buries(k, said["reason"], attempts)
		return
	}
	r := o.run
	w.tellf(r.key.key.ID, "publishes %s in %v", ev.ID, n)
	if r.n != n || !r.done {
		w.brokenf(fenced, "%v publishes %s of a run that is not its own, or has not ended", n, ev.ID)
		return
	}
	if !r.open() {
		w.brokenf(fenced, "%v publishes %s of %v, whose lock or claim is gone", n, ev.ID, r.key.key)
	}
	r.offers(w.calls)
	name := fmt.Sprintf("%s#%d", r.name, o.ord)
	if id, ok := w.ids[name]; ok && id != ev.ID {
		w.brokenf(sameIDs, "the result %s has the ID %s, and had %s before", name, ev.ID, id)
	}
	if other, ok := w.byID[ev.ID]; ok && other != name {
		w.brokenf(sameIDs, "the results %s and %s have the same ID", name, other)
	}
	w.ids[name], w.byID[ev.ID] = ev.ID, name
}
