package conform

import (
	"slices"
	"strings"
	"testing"
	"time"
)

type harness struct{ durable bool }

func rule(run func(t T, h harness)) Rule[harness] {
	return Rule[harness]{Name: "Rule", Run: run}
}

func TestRulesThatPassHaveNoFailures(t *testing.T) {
	t.Parallel()
	for _, virtual := range []bool{false, true} {
		ok := rule(func(t T, h harness) {
			if !h.durable || t.Name() != "Rule" || t.Failed() || t.Context().Err() != nil || t.TempDir() == "" {
				t.Error("the rule was not given what it needs")
			}
		})
		if fs := Failures(t, harness{durable: true}, ok, Virtual(virtual)); fs != nil {
			t.Errorf("virtual %v: %q", virtual, fs)
		}
	}
}

func TestFailuresAreCollectedAndFatalStopsTheRule(t *testing.T) {
	t.Parallel()
	var order []string
	fs := Failures(t, harness{}, rule(func(t T, _ harness) {
		t.Cleanup(func() { order = append(order, "first in") })
		t.Cleanup(func() { t.Fatal("a cleanup") })
		t.Cleanup(func() {
			order = append(order, "last in")
			if t.Context().Err() == nil {
				t.Error("the context outlived the rule")
			}
		})
		t.Errorf("one %d", 1)
		t.Fatalf("two %d", 2) //nolint:revive // that the next line is not reached is what is tested
		t.Error("never said")
	}))
	if want := []string{"one 1", "two 2", "a cleanup\n"}; !slices.Equal(fs, want) {
		t.Errorf("failures %q, want %q", fs, want)
	}
	if want := []string{"last in", "first in"}; !slices.Equal(order, want) {
		t.Errorf("cleanups ran as %q, want %q", order, want)
	}
}

func TestPanicsHangsAndDeadlocksAreFailures(t *testing.T) {
	t.Parallel()
	hang := rule(func(t T, _ harness) { <-t.Context().Done() })
	for _, c := range []struct {
		name string
		rule Rule[harness]
		opts []Option
		says string
	}{
		{"panic", rule(func(T, harness) { panic("ouch") }), nil, "panic: ouch"},
		{"hang", hang, []Option{Within(time.Millisecond)}, "hangs"},
		{"virtual hang", hang, []Option{Virtual(true)}, "hangs"},
		{"virtual deadlock", rule(func(T, harness) { select {} }), []Option{Virtual(true)}, "deadlock"},
	} {
		fs := Failures(t, harness{}, c.rule, c.opts...)
		if len(fs) == 0 || !strings.Contains(strings.Join(fs, "\n"), c.says) {
			t.Errorf("%s: %q", c.name, fs)
		}
	}
}

func TestRunAsksWhatIsNotExcused(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 4)
	rules := []Rule[harness]{
		{Name: "Asked", Run: func(t T, _ harness) { asked <- t.Name() }},
		{Name: "NotAsked", Run: func(T, harness) { asked <- "not asked" }},
	}
	for _, virtual := range []bool{false, true} {
		Run(t, harness{}, rules, map[string]string{"NotAsked": "it is none of ours"}, Virtual(virtual))
	}
	close(asked)
	n := 0
	for name := range asked {
		n++
		if !strings.Contains(name, "/Asked") {
			t.Errorf("asked %s", name)
		}
	}
	if n != 2 {
		t.Errorf("asked %d rules, want 2", n)
	}
}

func TestExcusesAreAsserted(t *testing.T) {
	t.Parallel()
	rules := []Rule[harness]{
		{Name: "Plain"},
		{Name: "Durable", Excuse: func(h harness) string {
			if h.durable {
				return ""
			}
			return "no Reopen"
		}},
	}
	for _, c := range []struct {
		name     string
		h        harness
		excused  map[string]string
		asked    []string
		problems int
	}{
		{"all asked", harness{durable: true}, nil, []string{"Plain", "Durable"}, 0},
		{"cannot be asked, said so", harness{}, map[string]string{"Durable": "in memory"}, []string{"Plain"}, 0},
		{"cannot be asked, not said", harness{}, nil, []string{"Plain"}, 1},
		{"no reason", harness{}, map[string]string{"Durable": ""}, []string{"Plain"}, 1},
		{"no such rule", harness{durable: true}, map[string]string{"Durbale": "typo"}, []string{"Plain", "Durable"}, 1},
	} {
		p := planOf(c.h, rules, c.excused)
		if got := Names(p.asked); !slices.Equal(got, c.asked) || len(p.problems) != c.problems {
			t.Errorf("%s: asked %q, problems %q", c.name, got, p.problems)
		}
		if s := p.summary(); strings.Count(s, "\n") != len(rules) {
			t.Errorf("%s: the summary leaves a rule out: %s", c.name, s)
		}
	}
	if p := planOf(harness{durable: true}, append(rules, rules[0]), nil); len(p.problems) != 1 {
		t.Errorf("a name used twice: problems %q", p.problems)
	}
}
