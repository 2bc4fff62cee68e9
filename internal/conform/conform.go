// Package conform runs a suite of rules against an implementation, for the importable suites brokertest, storetest and
// runnertest. A rule is a function of a [T], not of a *testing.T, so that a suite can be tested itself: [Failures] runs
// one rule against a faulty implementation and gives what it found, without failing the test that asks.
//
// It uses testing and testing/synctest only, as the suites do that stand on it.
package conform

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// T is what a rule needs of a test; *testing.T is one. A rule has no subtests and never skips: what it cannot ask is an
// excuse, which is printed and asserted.
type T interface {
	Helper()
	Name() string
	Log(args ...any)
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any) // from the rule's own goroutine, as FailNow and Fatalf
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	Cleanup(func())           // last in, first out; the context has ended by then
	Context() context.Context // ends before the cleanups
	TempDir() string
}

// Rule is one thing that every implementation must do. H is the suite's harness.
type Rule[H any] struct {
	Name string // as a promise, unique in its suite: "HeldIsNotDone"
	Run  func(t T, h H)

	// Excuse says what the harness lacks for this rule to be asked; "" or a nil function: it can be asked.
	Excuse func(h H) string
}

// Option of [Run] and [Failures].
type Option func(*config)

type config struct {
	virtual  bool
	parallel bool
	within   time.Duration
}

// Virtual runs each rule in a synctest bubble of its own. The implementation must live in the process and be opened
// inside the rule.
func Virtual(yes bool) Option { return func(c *config) { c.virtual = yes } }

// Parallel lets the rules run at the same time, for implementations that make rules wait for real.
func Parallel(yes bool) Option { return func(c *config) { c.parallel = yes } }

// Within bounds one rule in [Failures]: one that takes longer hangs, which is a failure. The default is a minute, in a
// bubble 100 days of its time. It does not bound Run: that is go test's -timeout.
func Within(d time.Duration) Option { return func(c *config) { c.within = d } }

func configure(opts []Option) config {
	var c config
	for _, o := range opts {
		o(&c)
	}
	if c.within == 0 {
		c.within = time.Minute
		if c.virtual {
			c.within = 100 * 24 * time.Hour
		}
	}
	return c
}

// Run runs each rule as a subtest, except the excused ones, and logs which were asked and which were not. excused maps
// the names of rules to the reason why the implementation need not follow them.
//
// A rule that cannot be asked (Rule.Excuse) and is not among excused fails the test, and so does an excuse without a
// reason or of an unknown rule: nobody passes a suite by quietly promising less.
func Run[H any](t *testing.T, h H, rules []Rule[H], excused map[string]string, opts ...Option) {
	t.Helper()
	c := configure(opts)
	p := planOf(h, rules, excused)
	for _, problem := range p.problems {
		t.Error(problem)
	}
	t.Log(p.summary())
	for _, r := range p.asked {
		t.Run(r.Name, func(t *testing.T) {
			if c.parallel {
				t.Parallel()
			}
			if c.virtual {
				synctest.Test(t, func(t *testing.T) { r.Run(t, h) })
			} else {
				r.Run(t, h)
			}
		})
	}
}

// plan is what Run will do.
type plan[H any] struct {
	asked    []Rule[H]
	excused  []string // "name: reason"
	problems []string
}

func planOf[H any](h H, rules []Rule[H], excused map[string]string) plan[H] {
	var p plan[H]
	known := make(map[string]bool, len(rules))
	for _, r := range rules {
		if known[r.Name] {
			p.problems = append(p.problems, "two rules are called "+r.Name)
		}
		known[r.Name] = true

		var lacks string
		if r.Excuse != nil {
			lacks = r.Excuse(h)
		}
		reason, named := excused[r.Name]
		switch {
		case !named && lacks == "":
			p.asked = append(p.asked, r)
			continue
		case !named:
			p.problems = append(p.problems, fmt.Sprintf("rule %s cannot be asked (%s), and the harness does not excuse it", r.Name, lacks))
			reason = lacks
		case reason == "":
			p.problems = append(p.problems, fmt.Sprintf("rule %s is excused without a reason", r.Name))
		}
		p.excused = append(p.excused, r.Name+": "+reason)
	}
	for name := range excused {
		if !known[name] {
			p.problems = append(p.problems, name+" is excused, but there is no such rule")
		}
	}
	return p
}

func (p *plan[H]) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rules asked, %d excused", len(p.asked), len(p.excused))
	for _, r := range p.asked {
		b.WriteString("\n  asked    " + r.Name)
	}
	for _, e := range p.excused {
		b.WriteString("\n  excused  " + e)
	}
	return b.String()
}

// Names lists the rules, for a suite's own list.
func Names[H any](rules []Rule[H]) []string {
	names := make([]string, len(rules))
	for i := range rules {
		names[i] = rules[i].Name
	}
	return names
}

// Find gives the rule of that name. A test that asks for one that is not there fails: a planted fault must not be
// caught by a rule that was renamed.
func Find[H any](t *testing.T, rules []Rule[H], name string) Rule[H] {
	t.Helper()
	for _, r := range rules {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no rule %q", name)
	return Rule[H]{}
}
