package brokertest

import (
	"context"
	"errors"
	"slices"

	"github.com/eventflow-go/eventflow"
)

func openRules() []rule {
	return []rule{
		{name: "FeaturesDoNotChange", run: featuresDoNotChange},
		{name: "OptionErrorsAreReturned", run: optionErrorsAreReturned},
		{name: "ForeignOptionsAreRefused", run: foreignOptionsAreRefused},
		{name: "GroupsAreRefusedWhereThereAreNone", run: groupsAreRefusedWhereThereAreNone},
		{name: "MissingTopicFailsOnUseNotOnOpening", needs: missing, run: missingTopicFailsOnUse},
	}
}

func featuresDoNotChange(b *bench) {
	before := b.f.Broker.Features()
	b.publish(b.events(1)...)
	b.subscribe().one().Ack()
	if after := b.f.Broker.Features(); after != before {
		b.Errorf("Features were %+v and became %+v by use", before, after)
	}
	if before.MaxNack < 0 || before.MaxLock < 0 || before.MaxEvent < 0 {
		b.Errorf("Features %+v: a limit is below zero", before)
	}
}

var errOption = errors.New("brokertest: an option that fails")

// badOption fails when it is applied; foreignOption wants the Native of a broker that nobody has.
type (
	badOption     struct{}
	foreignOption struct{}
	foreignNative struct{}
)

func (badOption) ApplySubscriber(*eventflow.SubscriberConfig) error { return errOption }
func (badOption) ApplyPublisher(*eventflow.PublisherConfig) error   { return errOption }

func (foreignOption) ApplySubscriber(c *eventflow.SubscriberConfig) error { return foreign(c.Native) }
func (foreignOption) ApplyPublisher(c *eventflow.PublisherConfig) error   { return foreign(c.Native) }

func foreign(native any) error {
	if _, ok := native.(*foreignNative); !ok {
		return &eventflow.ConfigError{Field: "brokertest.Foreign", Value: "an option", Allowed: "brokers that know it"}
	}
	return nil
}

func optionErrorsAreReturned(b *bench) {
	if _, err := b.f.Broker.OpenPublisher(b.topic, append(slices.Clone(b.f.PublisherOptions), badOption{})...); !errors.Is(err, errOption) {
		b.Errorf("OpenPublisher returned %v, want the option's error", err)
	}
	if _, err := b.f.Broker.OpenSubscriber(b.topic, append(b.options(group), badOption{})...); !errors.Is(err, errOption) {
		b.Errorf("OpenSubscriber returned %v, want the option's error", err)
	}
}

func foreignOptionsAreRefused(b *bench) {
	var ce *eventflow.ConfigError
	if _, err := b.f.Broker.OpenPublisher(b.topic, append(slices.Clone(b.f.PublisherOptions), foreignOption{})...); !errors.As(err, &ce) {
		b.Errorf("OpenPublisher returned %v, want the *ConfigError of an option of another broker", err)
	}
	if _, err := b.f.Broker.OpenSubscriber(b.topic, append(b.options(group), foreignOption{})...); !errors.As(err, &ce) {
		b.Errorf("OpenSubscriber returned %v, want the *ConfigError of an option of another broker", err)
	}
}

// A broker without groups that ignored the option would share out events which somebody wanted twice.
func groupsAreRefusedWhereThereAreNone(b *bench) {
	opts := append([]eventflow.SubscriberOption{eventflow.Group(group)}, b.f.SubscriberOptions...)
	_, err := b.f.Broker.OpenSubscriber(b.topic, opts...)
	switch {
	case b.features.Groups && err != nil:
		b.Errorf("OpenSubscriber of a broker with groups refused one: %v", err)
	case !b.features.Groups && !errors.Is(err, eventflow.ErrFatal):
		b.Errorf("OpenSubscriber of a broker without groups returned %v, want a *ConfigError", err)
	}
}

func missingTopicFailsOnUse(b *bench) {
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	err := b.publisher(b.f.Missing).Publish(ctx, newEvent("e-1", b.keys(1)[0]))
	if !errors.Is(err, eventflow.ErrNoTopic) {
		b.Errorf("Publish to a topic that does not exist returned %v, want ErrNoTopic", err)
	}
	err = startAndNext(ctx, b.open(b.f.Missing, group))
	if !errors.Is(err, eventflow.ErrNoTopic) {
		b.Errorf("Start and Next of a topic that does not exist returned %v, want ErrNoTopic", err)
	}
}

func startAndNext(ctx context.Context, s eventflow.Subscriber) error {
	if err := s.Start(ctx, eventflow.Listening{}); err != nil {
		return err
	}
	_, err := s.Next(ctx, eventflow.Want{Events: 1})
	return err
}
