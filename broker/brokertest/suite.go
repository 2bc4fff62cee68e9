package brokertest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/conform"
)

// Run asks every rule of the broker, each as a subtest with a broker of its own, and logs which were asked and which are
// excused. It fails when the broker cannot be asked a rule that the harness does not excuse.
func Run(t *testing.T, h Harness) {
	t.Helper()
	conform.Run(t, probe(t, h), suite(), h.Excused, conform.Virtual(h.Virtual), conform.Parallel(!h.Virtual))
}

// Rules lists the names of all rules: what Harness.Excused may hold.
func Rules() []string { return conform.Names(suite()) }

// subject is a harness and what its broker said that it can do.
type subject struct {
	Harness
	features eventflow.Features
	fixture  *Fixture
}

// probe opens the broker once, with every wish, to see what may be asked of it.
func probe(t *testing.T, h Harness) subject {
	t.Helper()
	s := subject{Harness: h.WithDefaults()}
	ask := func(t *testing.T) {
		t.Helper()
		b := open(t, s.Harness, Setup{Topics: 1, Groups: []string{group}, Lock: s.Lock, MaxReceives: 3, Capacity: 8})
		s.features, s.fixture = b.features, b.f
	}
	if h.Open == nil {
		t.Fatal("brokertest: Harness.Open is nil")
	}
	if h.Virtual {
		synctest.Test(t, ask)
	} else {
		t.Run("Opens", ask)
	}
	if s.fixture == nil {
		t.FailNow() // Open has said why
	}
	return s
}

// rule is one promise: its name, what it needs to be asked, and what it asks.
type rule struct {
	name   string
	needs  need
	short  bool     // waits for locks to end
	topics int      // 0 is 1
	groups []string // nil is the one
	setup  Setup    // MaxReceives, Capacity
	run    func(b *bench)
}

// group is the one that rules use which are not about groups.
const group = "brokertest"

// need is what a broker must have for a rule to be asked; a set.
type need uint32

const (
	lanes need = 1 << iota
	groups
	exact
	delays
	locks
	limit
	deadLetters
	readDead
	redrive
	breakDead
	missing
	lose
	stall
	crash
	receives
	capacity
)

var needs = []struct {
	need  need
	lacks string
	has   func(f eventflow.Features, x *Fixture) bool
}{
	{lanes, "Features.Lanes is false", func(f eventflow.Features, _ *Fixture) bool { return f.Lanes }},
	{groups, "Features.Groups is false", func(f eventflow.Features, _ *Fixture) bool { return f.Groups }},
	{exact, "Features.ExactAttempt is false", func(f eventflow.Features, _ *Fixture) bool { return f.ExactAttempt }},
	{delays, "Features.MaxNack is 0", func(f eventflow.Features, _ *Fixture) bool { return f.MaxNack > 0 }},
	{locks, "Features.MaxLock is 0", func(f eventflow.Features, _ *Fixture) bool { return f.MaxLock > 0 }},
	{limit, "Features.MaxEvent is 0", func(f eventflow.Features, _ *Fixture) bool { return f.MaxEvent > 0 }},
	{deadLetters, "Features.DeadLetter is false", func(f eventflow.Features, _ *Fixture) bool { return f.DeadLetter }},
	{readDead, "Fixture.DeadLetters is nil", func(_ eventflow.Features, x *Fixture) bool { return x.DeadLetters != nil }},
	{redrive, "Fixture.Redrive is nil", func(_ eventflow.Features, x *Fixture) bool { return x.Redrive != nil }},
	{breakDead, "Fixture.BreakDeadLetters is nil", func(_ eventflow.Features, x *Fixture) bool { return x.BreakDeadLetters != nil }},
	{missing, "Fixture.Missing is empty", func(_ eventflow.Features, x *Fixture) bool { return x.Missing != "" }},
	{lose, "Fixture.Lose is nil", func(_ eventflow.Features, x *Fixture) bool { return x.Lose != nil }},
	{stall, "Fixture.Stall is nil", func(_ eventflow.Features, x *Fixture) bool { return x.Stall != nil }},
	{crash, "Fixture.Crash is nil", func(_ eventflow.Features, x *Fixture) bool { return x.Crash != nil }},
	{receives, "Fixture.MaxReceives is 0", func(_ eventflow.Features, x *Fixture) bool { return x.MaxReceives > 0 }},
	{capacity, "Fixture.Capacity is 0", func(_ eventflow.Features, x *Fixture) bool { return x.Capacity > 0 }},
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

// suite gives all rules, in the order in which they are explained best.
func suite() []conform.Rule[subject] {
	all := slices.Concat(openRules(), nextRules(), wantRules(), settlementRules(), attemptRules(), delayRules(),
		lockRules(), laneRules(), groupRules(), closeRules(), publishRules(), fidelityRules(), deadLetterRules(), leakRules())
	out := make([]conform.Rule[subject], len(all))
	for i, r := range all {
		out[i] = conform.Rule[subject]{
			Name:   r.name,
			Excuse: r.needs.lacks,
			Run: func(t T, s subject) {
				t.Helper()
				r.run(open(t, s.Harness, r.wants(s.Harness)))
			},
		}
	}
	return out
}

func (r *rule) wants(h Harness) Setup {
	s := r.setup
	s.Topics = max(r.topics, 1)
	if s.Groups = r.groups; s.Groups == nil {
		s.Groups = []string{group}
	}
	if s.Lock = h.LongLock(); r.short {
		s.Lock = h.Lock
	}
	return s
}
