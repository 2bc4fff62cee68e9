package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheStoryIsToldToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		rest := out.String()
		for _, line := range []string{
			"Five orders come in, the first one twice\n",
			"Dead letters\n\n",
			"order 1004  permanent, in attempt 1 of validate 2.1, redrives: 0\n",
			"Emil becomes a customer",
			"validate    order 1005 is in order\n",
			"post        order 1005: 0.99 for glue in attempt 1\n",
			"Dead letters\n\n",
			"order 1004  permanent, in attempt 1 of validate 2.1, redrives: 1\n",
			"validate     8 events = 4 succeeded + 3 dead-lettered + 1 duplicate, retries: 0\n",
			"invoice      4 events = 4 succeeded, retries: 1\n",
			"post         5 events = 5 succeeded, retries: 0\n",
			"audit        6 events = 5 succeeded + 1 duplicate, retries: 0\n",
			"ledger      28.49 in 5 entries\n",
		} {
			_, after, ok := strings.Cut(rest, line)
			if !ok {
				t.Fatalf("no %q where it belongs, in\n%s", line, out.String())
			}
			rest = after
		}
		// Lanes run in parallel: these have no place of their own in the story.
		for _, line := range []string{
			"invoice     order 1001: 2 made in attempt 1\n",
			"invoice     order 1002: the tax office does not answer in attempt 1\n",
			"invoice     order 1002: 1 made in attempt 2\n",
			"order 1005  permanent, in attempt 1 of validate 2.1, redrives: 0\n",
			"post        order 1003: the ledger is locked, busy\n",
			"post        order 1003: 7.20 for ink in attempt 1\n", // Busy is no attempt
		} {
			if n := strings.Count(out.String(), line); n != 1 {
				t.Errorf("%q is there %d times, in\n%s", line, n, out.String())
			}
		}
	})
}

func TestInterruptEndsItCleanly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 50*time.Millisecond) // order 1002 waits for its retry
		defer interrupt()
		var out bytes.Buffer
		if err := run(ctx, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "handed back") {
			t.Error(out.String())
		}
	})
}
