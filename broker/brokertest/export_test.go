package brokertest

import (
	"testing"

	"github.com/eventflow-go/eventflow/internal/conform"
)

// Failures runs one rule and gives what it complained of.
func Failures(t *testing.T, h Harness, rule string) []string {
	t.Helper()
	return conform.Failures(t, probe(t, h), conform.Find(t, suite(), rule), conform.Virtual(h.Virtual))
}
