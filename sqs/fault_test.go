package sqs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// A twentieth of all requests meets each kind of fault: nothing is lost, and what runs twice is what the queue handed
// out twice, or took twice, because an answer was lost.
func TestNothingIsLostAmongFaults(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]string{"standard": "q", "FIFO": "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { faults(t, queue) })
		})
	}
}

func faults(t *testing.T, queue string) {
	t.Helper()
	const n, keys = 10_000, 50
	b := setup(t, queue, sqstest.Queue{VisibilityTimeout: 30 * time.Second})
	rnd := rand.New(rand.NewPCG(1, 7))
	var mu sync.Mutex // guards what follows
	calm, lostAnswers := true, 0
	kinds := []sqstest.Fault{
		{Action: sqstest.Refuse, Code: "RequestThrottled"},
		{Action: sqstest.Refuse, Code: "InternalError"},
		{Action: sqstest.Refuse, Code: "InternalError", Entries: 3},
		{Action: sqstest.Cut},
		{Action: sqstest.Pass, Delay: 2 * time.Second},
		{Action: sqstest.Cut, Applied: true},
	}
	stop := b.server.Intercept(func(sqstest.Request) sqstest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if i := rnd.IntN(20); !calm && i < len(kinds) {
			if kinds[i].Applied {
				lostAnswers++
			}
			return kinds[i]
		}
		return sqstest.Fault{}
	})
	defer stop()
	runs := map[string]int{}
	flow := eventflow.NewSink("count", func(_ context.Context, ev eventflow.Event) error {
		mu.Lock()
		defer mu.Unlock()
		runs[string(ev.Data)]++
		return nil
	})
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(runs) == n && b.server.Stats(queue) == sqstest.Stats{}
	}
	publish := func(p eventflow.Publisher, from, to int) {
		var evs []eventflow.Event
		for i := from; i < to; i++ {
			evs = append(evs, eventflow.Event{ID: fmt.Sprint(i), Source: "/s", Type: "t", Key: fmt.Sprint(i % keys), Data: fmt.Append(nil, i)})
		}
		for len(evs) > 0 {
			err := p.Publish(b.ctx, evs...)
			if err == nil {
				return
			}
			var failed *eventflow.PublishError
			require.ErrorAs(t, err, &failed)
			var again []eventflow.Event
			for _, f := range failed.Failed {
				again = append(again, evs[f.Index])
			}
			evs = again
		}
	}
	var publishing sync.WaitGroup
	publishing.Go(func() {
		p := b.broker.Publisher(queue)
		mu.Lock()
		calm = false
		mu.Unlock()
		for i := 0; i < n; i += 100 {
			publish(p, i, i+100)
		}
	})
	b.listen(func() bool {
		if !done() {
			return false
		}
		mu.Lock()
		calm = true
		mu.Unlock()
		return true
	}, flow, runner.On(b.broker.Subscriber(queue, sqs.LeavePoison())))
	publishing.Wait()
	twice := 0
	for _, times := range runs {
		twice += times - 1
	}
	t.Logf("%d of %d ran again, %d answers were lost, %d requests", twice, n, lostAnswers, b.requests(""))
	require.Len(t, runs, n)
	require.LessOrEqual(t, twice, 10*lostAnswers)
	require.Zero(t, b.server.Stats(queue).Visible)
}
