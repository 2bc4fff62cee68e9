package brokertest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/eventflow-go/eventflow/broker/brokertest"
)

func virtualMemory() brokertest.Harness {
	h := memory()
	h.Virtual = true
	return h
}

// The wrapper itself is no fault: otherwise every fault would be caught by what it is planted with.
func TestWrappedBrokerKeepsEveryRule(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, wrap(virtualMemory(), nil))
}

func TestPlantedFaultsAreCaught(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			h := wrap(virtualMemory(), f.plant)
			for _, rule := range f.rules {
				caught := brokertest.Failures(t, h, rule)
				if len(caught) == 0 {
					t.Errorf("%s did not notice: %s", rule, f.name)
				}
				for _, c := range caught {
					t.Logf("%s: %s", rule, c)
				}
			}
		})
	}
}

// A rule that no fault breaks may be one that cannot fail.
func TestEveryRuleCatchesAPlantedFault(t *testing.T) {
	t.Parallel()
	left := map[string]bool{}
	for _, r := range brokertest.Rules() {
		left[r] = true
	}
	for _, f := range faults {
		for _, r := range f.rules {
			delete(left, r)
		}
	}
	if len(left) > 0 {
		t.Errorf("no planted fault is caught by %v", slices.Sorted(maps.Keys(left)))
	}
}
