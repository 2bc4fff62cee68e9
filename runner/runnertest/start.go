package runnertest

import (
	"errors"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func startRules() []rule {
	return []rule{
		{name: "MissingTopicFailsTheStart", needs: missing, run: missingTopicFailsTheStart},
		{name: "ReceiveLimitBelowTheAttemptsFailsTheStart", needs: receives, topics: 2, receives: 3, run: receiveLimitFailsTheStart},
	}
}

// refuses lets a runner of two sources listen, of which the second cannot be started: Listen fails, and nothing was
// received from the first.
func (b *bench) refuses(p *process, good, bad eventflow.Subscriber, opts ...runner.Option) error {
	b.Helper()
	b.publish(b.events(2)...)
	x := p.start(p.sink(nothing), append([]runner.Option{runner.On(good, runner.Named("good")), runner.On(bad, runner.Named("bad"))}, opts...)...)
	b.await(x.returned, "Listen to fail")
	if x.State() != runner.Failed {
		b.Errorf("the runner is %v, want Failed", x.State())
	}
	if n := b.log.count(entry{step: received}); n > 0 {
		b.Errorf("%d events were received before the start had failed", n)
	}
	if n := len(b.consume(b.topics[0], b.patience(), func(ds []*eventflow.Delivery) bool { return len(ds) == 2 })); n != 2 {
		b.Errorf("another consumer had %d of 2 events that nobody received", n)
	}
	return x.err
}

func missingTopicFailsTheStart(b *bench) {
	p := b.process("one")
	err := b.refuses(p, p.on(), p.onTopic(b.f.Missing, group))
	if !errors.Is(err, eventflow.ErrNoTopic) {
		b.Errorf("Listen on a topic that does not exist returned %v, want ErrNoTopic", err)
	}
}

// A queue that dead-letters what the runner still retries would break the promise of attempts.
func receiveLimitFailsTheStart(b *bench) {
	p := b.process("one")
	err := b.refuses(p, p.on(), p.onTopic(b.topics[1], group), runner.MaxAttempts(b.f.MaxReceives), runner.Slack(1))
	if _, ok := errors.AsType[*eventflow.ConfigError](err); !ok {
		b.Errorf("Listen with more attempts than the broker's %d receives returned %v, want a ConfigError", b.f.MaxReceives, err)
	}
}
