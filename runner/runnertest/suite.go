package runnertest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/internal/conform"
)

// Run asks every rule of a runner on the broker and the store, each as a subtest with a broker and a store of its own,
// and logs which were asked and which are excused. It fails when the broker cannot be asked a rule that the harness does
// not excuse. Without Virtual the rules run at the same time.
func Run(t *testing.T, h Harness) {
	t.Helper()
	conform.Run(t, probe(t, h), suite(), h.Excused, conform.Virtual(h.Broker.Virtual), conform.Parallel(!h.Broker.Virtual))
}

// Rules lists the names of all rules: what Harness.Excused may hold.
func Rules() []string { return conform.Names(suite()) }

// subject is a harness and what its broker said that it can do.
type subject struct {
	Harness
	features eventflow.Features
	fixture  *brokertest.Fixture
}

// probe opens the broker once, with every wish, to see what may be asked of it.
func probe(t *testing.T, h Harness) subject {
	t.Helper()
	s := subject{Harness: h.withDefaults()}
	ask := func(t *testing.T) {
		t.Helper()
		b := open(t, s.Harness, &rule{topics: 1, receives: 3, short: true})
		s.features, s.fixture = b.features, b.f
	}
	if h.Broker.Virtual {
		synctest.Test(t, ask)
	} else {
		ask(t) // no subtest: -run would leave it out
	}
	if s.fixture == nil {
		t.FailNow() // Open has said why
	}
	return s
}

// rule is one promise: its name, what it needs to be asked, and what it asks.
type rule struct {
	name     string
	needs    need
	short    bool // waits for locks and leases to end
	topics   int  // 0 is 1
	receives int  // as brokertest.Setup.MaxReceives
	run      func(b *bench)
}

// group is the one that rules use which are not about groups.
const group = "runnertest"

func (r *rule) setup(h Harness) brokertest.Setup {
	s := brokertest.Setup{Topics: max(r.topics, 1), Groups: []string{group, otherGroup}, Lock: h.Broker.LongLock(), MaxReceives: r.receives}
	if r.short {
		s.Lock = h.Broker.Lock
	}
	return s
}

func (r *rule) lease(h Harness) time.Duration {
	if r.short {
		return h.Lease
	}
	return min(h.Broker.LongLock(), time.Hour)
}

// need is what a broker must have for a rule to be asked; a set.
type need uint32

const (
	lanes need = 1 << iota
	locks
	deadLetters
	readDead
	redrive
	missing
	lose
	stall
	crash
	receives
)

var needs = []struct {
	need  need
	lacks string
	has   func(f eventflow.Features, x *brokertest.Fixture) bool
}{
	{lanes, "Features.Lanes is false", func(f eventflow.Features, _ *brokertest.Fixture) bool { return f.Lanes }},
	{locks, "Features.MaxLock is 0", func(f eventflow.Features, _ *brokertest.Fixture) bool { return f.MaxLock > 0 }},
	{deadLetters, "Features.DeadLetter is false", func(f eventflow.Features, _ *brokertest.Fixture) bool { return f.DeadLetter }},
	{readDead, "Fixture.DeadLetters is nil", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.DeadLetters != nil }},
	{redrive, "Fixture.Redrive is nil", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.Redrive != nil }},
	{missing, "Fixture.Missing is empty", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.Missing != "" }},
	{lose, "Fixture.Lose is nil", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.Lose != nil }},
	{stall, "Fixture.Stall is nil", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.Stall != nil }},
	{crash, "Fixture.Crash is nil", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.Crash != nil }},
	{receives, "Fixture.MaxReceives is 0", func(_ eventflow.Features, x *brokertest.Fixture) bool { return x.MaxReceives > 0 }},
}

// lacks says what s has not of what n needs.
func (n need) lacks(s subject) string {
	var out []string
	for _, x := range needs {
		if n&x.need != 0 && !x.has(s.features, s.fixture) {
			out = append(out, x.lacks)
		}
	}
	return strings.Join(out, ", ")
}

// suite gives all rules, in the order of the promises.
func suite() []conform.Rule[subject] {
	all := slices.Concat(ackRules(), crashRules(), keyRules(), attemptRules(), deadLetterRules(), publishRules(), laneRules(),
		lockRules(), shutdownRules(), countRules(), boundRules(), fireRules(), startRules(), outageRules())
	out := make([]conform.Rule[subject], len(all))
	for i, r := range all {
		out[i] = conform.Rule[subject]{
			Name:   r.name,
			Excuse: r.needs.lacks,
			Run: func(t T, s subject) {
				t.Helper()
				r.run(open(t, s.Harness, &r))
			},
		}
	}
	return out
}
