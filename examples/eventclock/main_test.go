package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestOnlyWhatIsNewRunsAfterARestart(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(out.String(), "After a restart")
	for _, line := range []string{"a.txt  succeeded\n", "b.txt  succeeded\n", "c.txt  succeeded\n", "6 words\n"} {
		if !strings.Contains(first, line) {
			t.Errorf("no %q before the restart", line)
		}
	}
	for _, line := range []string{"a.txt  duplicate\n", "b.txt  succeeded\n", "c.txt  duplicate\n", "d.txt  succeeded\n", "8 words\n"} {
		if !strings.Contains(second, line) {
			t.Errorf("no %q after it", line)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
