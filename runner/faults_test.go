package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// logbook is where a logger writes.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) option() runner.Option {
	return runner.Logger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// lines gives what was said so far, and forgets it.
func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := strings.Split(strings.TrimSpace(l.buf.String()), "\n")
	if l.buf.Reset(); out[0] == "" {
		return nil
	}
	return out
}

func TestARunnerIsQuietOnSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			switch s {
			case "poor":
				return eventflow.Busy(time.Second)
			case "dull":
				return eventflow.Skip("dull")
			}
			return nil
		}), log.option(), runner.On(b.mem.Subscriber("q")), runner.At(eventflow.Every(time.Second)), runner.Store(store.NewMemory()))
		stop := b.listen(r)
		b.publish("q", "1", "1", "dull", "poor", "k:1")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Empty(t, log.lines())
	})
}

func TestAStoreInMemorySaysOnceWhatItCannotKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		job := eventflow.NewJob("f", func(context.Context) error { return nil })
		stop := b.listen(b.new(job, log.option(), runner.At(eventflow.Every(time.Second)), runner.At(eventflow.Every(time.Minute))))
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		said := log.lines()
		require.Len(t, said, 1)
		require.Contains(t, said[0], "level=INFO")
		require.Contains(t, said[0], "the store is in memory")
	})
}

func TestAStoresOutageUnderALoadIsSaidInAHandfulOfLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log, st := setup(t), &logbook{}, &outage{Store: store.NewMemory()}
		var n atomic.Int64
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { n.Add(1); return nil }), log.option(), runner.On(b.mem.Subscriber("q")), runner.Store(st))
		stop := b.listen(r)
		st.down.Store(true)
		for i := range 10_000 {
			b.publish("q", fmt.Sprint(i))
		}
		time.Sleep(5*time.Minute + 30*time.Second)
		said := log.lines()
		require.GreaterOrEqual(t, len(said), 5)
		require.LessOrEqual(t, len(said), 6, "at once, and once a minute")
		for _, l := range said {
			require.Contains(t, l, "level=ERROR")
			require.Contains(t, l, "the store does not answer")
			require.Contains(t, l, "flow=f")
			require.Contains(t, l, "error=boom")
			require.Contains(t, l, "since=2000-01-01T00:00:00")
		}
		st.down.Store(false)
		time.Sleep(time.Minute)
		said = log.lines()
		require.Len(t, said, 1)
		require.Contains(t, said[0], "level=INFO")
		require.Contains(t, said[0], "a fault is over")
		require.EqualValues(t, 10_000, n.Load())
		require.NoError(t, stop())
	})
}

// everyOther is a store of which every other call fails.
type everyOther struct {
	store.Store
	calls atomic.Int64
}

func (s *everyOther) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if s.calls.Add(1)%2 == 0 {
		return errBoom
	}
	return s.Store.Claim(ctx, owner, lease, cs)
}

func TestAFaultThatComesAndGoesIsSaidAsSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), log.option(), runner.On(b.mem.Subscriber("q")), runner.Store(&everyOther{Store: store.NewMemory()}))
		stop := b.listen(r)
		for i := range 5 * 60 {
			b.publish("q", fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		require.NoError(t, stop())
		said := log.lines()
		require.LessOrEqual(t, len(said), 2*6, "its beginning and its end once a minute")
		for _, l := range said {
			if strings.Contains(l, "level=ERROR") {
				require.Contains(t, l, "since=2000-01-01T00:00:01", "it is one fault")
			}
		}
	})
}

func TestDeadLettersAreSaidOneByOneUntilTheyAreTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return eventflow.Permanent(errors.New("card 4111")) }),
			log.option(), runner.On(b.mem.Subscriber("q")))
		stop := b.listen(r)
		for i := range 1000 {
			b.publish("q", fmt.Sprint("secret", i))
		}
		time.Sleep(3 * time.Minute)
		said := log.lines()
		require.Len(t, said, 11)
		for _, l := range said[:10] {
			require.Contains(t, l, "level=WARN")
			require.Contains(t, l, "dead-lettered")
			require.Contains(t, l, "reason=permanent")
			require.Contains(t, l, "error=*errors.errorString")
			require.NotContains(t, l, "4111", "an error's text may hold what the payload held")
		}
		require.Contains(t, said[10], "times=990")
		b.publish("q", "last")
		synctest.Wait()
		require.Len(t, log.lines(), 1, "the next is said again")
		require.NoError(t, stop())
		require.Empty(t, log.lines())
	})
}

func TestWhatWasNotSaidOneByOneIsSaidAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return eventflow.Permanent(errBoom) }), log.option(), runner.On(b.mem.Subscriber("q")))
		stop := b.listen(r)
		for i := range 25 {
			b.publish("q", fmt.Sprint(i))
		}
		synctest.Wait()
		require.NoError(t, stop())
		said := log.lines()
		require.Len(t, said, 11)
		require.Contains(t, said[10], "times=15")
	})
}

func TestAPanicsStackIsSaidAndItsValueIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error { panic(s) }), log.option(), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(1))
		require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), eventflow.Event{ID: "1", Data: []byte("card 4111")}))
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		said := log.lines()
		require.Len(t, said, 1)
		require.Contains(t, said[0], "faults_test.go")
		require.NotContains(t, said[0], "4111")
	})
}

func TestNoLineHasAPayloadOrAnErrorsText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret = "4111"
		for _, letOut := range []bool{false, true} {
			b, log := setup(t), &logbook{}
			dead := b.mem.Inject(broker.Fault{Kind: broker.FailDeadLetter, Times: 1})
			opts := []runner.Option{log.option(), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(1), runner.PauseAfterDecodeFailures(2),
				runner.At(eventflow.Every(time.Minute), runner.With(eventflow.Parameters{"Card": secret}))}
			if letOut {
				opts = append(opts, runner.DeadLetterErrors(error.Error))
			}
			r := b.new(eventflow.NewSink("f", func(_ context.Context, p struct {
				In   eventflow.EventParameter[struct{ N string }]
				Card string
			}) error {
				return fmt.Errorf("card %s %s is refused", p.Card, p.In.Value.N)
			}), opts...)
			var evs []eventflow.Event
			for i, data := range []string{`{"N":"4111"}`, `{"N":4111}`, `{"N":4111}`, `{"N":4111}`, `{"N":"4111"}`} {
				evs = append(evs, eventflow.Event{ID: fmt.Sprint(i), Source: "s", Data: []byte(data)})
			}
			require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), evs...))
			stop := b.listen(r)
			time.Sleep(10 * time.Minute)
			require.NoError(t, stop())
			require.Positive(t, dead())
			said := strings.Join(log.lines(), "\n")
			for _, s := range []string{"is dead-lettered", "dead letters cannot be written", "a trigger is paused"} {
				require.Contains(t, said, s)
			}
			require.Equal(t, letOut, strings.Contains(said, secret))
		}
	})
}

// A fault's end names the fault, not what the runner tells it apart by.
func TestTheEndOfASourcesFaultIsSaidByItsText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		b.mem.Inject(broker.Fault{Kind: broker.FailNext, Times: 3})
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), log.option(), runner.On(b.mem.Subscriber("q"), runner.Named("orders")))
		stop := b.listen(r)
		b.publish("q", "1")
		time.Sleep(5 * time.Minute)
		require.NoError(t, stop())
		said := log.lines()
		require.Len(t, said, 2)
		require.Contains(t, said[0], "trigger=orders")
		require.Contains(t, said[1], `msg="a fault is over" trigger=orders flow=f fault="an event clock fails; it is asked again"`)
		require.Contains(t, said[1], "times=3")
	})
}

// tallying is a log that counts what is said of missed fires, one by one and as a number.
type tallying struct {
	slog.Handler
	mu   sync.Mutex
	said int
	sum  int
}

func (h *tallying) Enabled(context.Context, slog.Level) bool { return true }

func (h *tallying) Handle(_ context.Context, rec slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	more := strings.HasPrefix(rec.Message, "more of the same")
	if strings.HasPrefix(rec.Message, "fires were missed") {
		h.said++
	}
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "unsaid" || more && a.Key == "times" {
			h.sum += int(a.Value.Int64())
		}
		return true
	})
	return nil
}

// The minute may end with the next of them as well as with a look of the runner.
func TestMissedFiresThatAreNotSaidOneByOneAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, m, h := setup(t), &machine{Store: store.NewMemory()}, &tallying{}
		opts := []runner.Option{runner.Store(m), runner.Logger(slog.New(h)), runner.Lease(time.Hour)}
		const clocks, steps = 15, 10
		for i := range clocks {
			opts = append(opts, runner.At(eventflow.Every(10*time.Minute), runner.Named(fmt.Sprint(i)), runner.Missed(runner.MissedNone, 0, 0)))
		}
		stop := b.listenAt(b.new(eventflow.NewJob("f", func(context.Context) error { return nil }), opts...), m.now)
		time.Sleep(5 * time.Minute)
		for range steps {
			m.step(time.Hour)
			time.Sleep(61 * time.Second)
		}
		require.NoError(t, stop())
		require.Equal(t, clocks*steps, h.said+h.sum, "%d said one by one, %d counted", h.said, h.sum)
	})
}

// Nobody else would: there is no keeper without Listen.
func TestABackfillSaysAtItsEndWhatItDidNotSayOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setup(t), &logbook{}
		began := time.Now()
		time.Sleep(100 * time.Hour)
		r := b.new(eventflow.NewJob("f", func(context.Context) error { return eventflow.Permanent(errBoom) }), log.option(), everyHour())
		for part := range 2 {
			from := began.Add(time.Duration(part) * 50 * time.Hour)
			_, err := r.Backfill(t.Context(), hourly, from, from.Add(50*time.Hour))
			require.NoError(t, err)
			said := log.lines()
			require.Len(t, said, 11-10*part, "ten a minute, however many backfills that is")
			require.Contains(t, said[len(said)-1], fmt.Sprintf("times=%d", 40+10*part))
		}
	})
}
