package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// The week's eleven seconds pass at once: in the bubble of synctest time moves when everybody waits.
func TestTheWeekIsReplayedAndItsNumbersAreRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"rate      1,708 events = 1,707 succeeded + 1 dead-lettered\n",
			"write        39 events = 39 succeeded\n",
			"summary       5 fires  = 5 succeeded\n",
			"Alerts: 39 quakes of magnitude 5 and more, times in UTC\n",
			"Strongest\n\n  Tue  6 Feb 15:50   M 6.4   22km NNE of Hualian, Taiwan\n",
			"event    cut-off, attempt 1 of flow rate\n  reason   decode\n  trigger  memory/quakes\n",
		} {
			if !strings.Contains(out.String(), line) {
				t.Errorf("no %q in the output", line)
			}
		}
		if n := strings.Count(out.String(), " quakes   "); n != 5 {
			t.Errorf("%d summaries, and must be 5", n)
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
}

func TestInterruptEndsItCleanly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 3*time.Second)
		defer interrupt()
		start := time.Now()
		var out bytes.Buffer
		if err := run(ctx, &out); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %v to end", took)
		}
		if s := out.String(); !strings.Contains(s, "summary       1 fires  = 1 succeeded\n") || !strings.HasSuffix(s, "Interrupted before the week was over.\n") {
			t.Error(s)
		}
	})
}

func TestNumbersThatAreOffAreNamed(t *testing.T) {
	t.Parallel()
	res := results{
		rate: runner.Counts{Received: 1708, Outcomes: map[eventflow.Outcome]int64{eventflow.Succeeded: 1706, eventflow.DeadLettered: 2}},
		dead: []broker.DeadLetter{{Event: eventflow.Event{ID: "another"}, Reason: "exhausted"}},
	}
	err := new(desk).check(res)
	if err == nil {
		t.Fatal("no error")
	}
	for _, line := range []string{
		"events that rate succeeded with: 1,706, and must be 1,707",
		"events that rate dead-lettered: 2, and must be 1",
		"alerts: 0, and must be 39",
		`dead letter of event "another" with reason "exhausted"`,
		"and must be M 6.4 near Hualian, Taiwan",
		"summaries: 0, and must be 5 or more",
	} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("no %q in %v", line, err)
		}
	}
}
