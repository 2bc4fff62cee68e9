package runner_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// printer is a publisher that notes what it took, and may take its time, or refuse, before.
type printer struct {
	before func(result string) error

	mu    sync.Mutex
	taken []string
}

func (p *printer) Close(context.Context) error { return nil }

func (p *printer) Publish(_ context.Context, evs ...eventflow.Event) error {
	var failed []eventflow.ItemError
	for i := range evs {
		result := string(evs[i].Data)
		if strings.HasPrefix(result, "w") {
			continue
		}
		if err := p.before(result); err != nil {
			failed = append(failed, eventflow.ItemError{Index: i, Err: err})
			continue
		}
		p.mu.Lock()
		p.taken = append(p.taken, result)
		p.mu.Unlock()
	}
	if failed != nil {
		return &eventflow.PublishError{Failed: failed}
	}
	return nil
}

func (p *printer) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.taken...)
}

// longSecond runs k:1 and k:2 in one chunk, the second for so long that the first is published without it.
func longSecond(b *bundle, p *printer, opts ...runner.Option) *runner.FlowRunner {
	return b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) {
		if s == "k:2" {
			time.Sleep(time.Second)
		}
		return s, nil
	}), append([]runner.Option{runner.On(b.mem.Subscriber("q")), runner.PublishTo(p)}, opts...)...)
}

func TestResultsOfALaneAreInItsOrderBesideALongRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		p := &printer{before: func(result string) error {
			if result == "k:1" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}}
		r := longSecond(b, p)
		stop := b.listen(r)
		b.warm()
		b.publish("q", "k:1", "k:2", "k:3")
		time.Sleep(5 * time.Second)
		require.Empty(t, p.list())
		require.EqualValues(t, 3, balanced(t, r).InFlight, "nothing is acknowledged before what is ahead of it")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, p.list())
		require.NoError(t, stop())
	})
}

func TestALongRunIsNotAcknowledgedWhileAResultAheadOfItIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		refuse := time.Now().Add(time.Minute)
		p := &printer{before: func(result string) error {
			if result == "k:1" && time.Now().Before(refuse) {
				return errBoom
			}
			return nil
		}}
		r := longSecond(b, p, runner.MaxRuns(1))
		stop := b.listen(r)
		b.warm()
		b.publish("q", "k:1", "k:2", "k:3", "l:1")
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"l:1"}, p.list(), "other lanes do not wait, nor does the only run slot")
		require.EqualValues(t, 3, balanced(t, r).InFlight)
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"l:1", "k:1", "k:2", "k:3"}, p.list())
		require.NoError(t, stop())
	})
}

func TestALongRunGoesBackWithWhatIsAheadOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		p := &printer{before: func(result string) error {
			if result == "k:1" {
				return errBoom
			}
			return nil
		}}
		r := longSecond(b, p, runner.Grace(time.Second))
		stop := b.listen(r)
		b.warm()
		b.publish("q", "k:1", "k:2", "k:3")
		time.Sleep(30 * time.Second)
		require.NoError(t, stop())
		require.Empty(t, p.list())
		require.EqualValues(t, 3, balanced(t, r).Outcomes[eventflow.HandedBack])
		require.Equal(t, 3, b.mem.Stats("q", "").Queued)
	})
}
