package unittest_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // a machine of the tests may have no time zones

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/examples/unittest"
	"github.com/eventflow-go/eventflow/runner"
)

var errDisk = errors.New("disk is slow today")

// start makes a runner of the flow between the topics "uploads" and "thumbs", and starts it; the function that it returns ends it.
func start(t *testing.T, mem *broker.Memory, im *images, opts ...runner.Option) (*runner.FlowRunner, func()) {
	t.Helper()
	r, err := runner.New(unittest.Thumbnails{Images: im}.Flow(), append([]runner.Option{
		runner.On(mem.Subscriber("uploads")),
		runner.PublishTo(mem.Publisher("thumbs")),
		runner.Logger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Listen(ctx) }()
	return r, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func upload(t *testing.T, mem *broker.Memory, ids ...string) {
	t.Helper()
	for _, id := range ids {
		ev := eventflow.Event{ID: id, Source: "camera", Key: "cats", Data: []byte(`{"path":"` + id + `.png"}`)}
		if err := mem.Publisher("uploads").Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

func settled(t *testing.T, mem *broker.Memory) {
	t.Helper()
	if err := mem.WaitSettled(t.Context(), "uploads"); err != nil {
		t.Fatal(err)
	}
}

// thumbs gives what was published.
func thumbs(t *testing.T, mem *broker.Memory) (out []string) {
	t.Helper()
	sub := mem.Subscriber("thumbs", eventflow.Group("test")) // nobody else has a group there: it has everything
	for mem.Stats("thumbs", "test").Queued > 0 {
		ds, err := sub.Next(t.Context(), eventflow.Want{Events: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			out = append(out, string(d.Event.Data))
			d.Ack()
		}
	}
	return out
}

// In a bubble of synctest minutes pass at once, when everybody waits. A test can wait for days.
func TestFailedRunIsTriedAgainAfterItsBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := broker.NewMemory()
		im := &images{render: func(_ context.Context, n int) error {
			if n <= 2 {
				return errDisk
			}
			return nil
		}}
		r, stop := start(t, mem, im, runner.Backoff(func(failed int) time.Duration { return time.Duration(failed) * time.Minute }))
		began := time.Now()
		upload(t, mem, "cat")
		settled(t, mem)
		stop()

		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("it took %v, want the backoffs of 1 and 2 minutes", took)
		}
		if got, want := thumbs(t, mem), []string{`{"of":"cat.png","size":64}`}; !slices.Equal(got, want) {
			t.Errorf("published %v, want %v", got, want)
		}
		if c := r.Counts(); c.Retries != 2 || c.Outcomes[eventflow.Succeeded] != 1 {
			t.Errorf("got %+v, want 1 succeeded after 2 retries", c)
		}
	})
}

func TestHopelessEventIsDeadLetteredAndTheNextOneRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := broker.NewMemory()
		im := &images{render: func(_ context.Context, n int) error {
			if n <= 3 {
				return errDisk
			}
			return nil
		}}
		_, stop := start(t, mem, im, runner.MaxAttempts(3))
		upload(t, mem, "cat", "dog") // of one key, so dog waits for cat
		settled(t, mem)
		stop()

		dead := mem.DeadLetters("uploads")
		if len(dead) != 1 || dead[0].Event.ID != "cat" || dead[0].Reason != "exhausted" || dead[0].Attempts != 3 {
			t.Errorf("dead letters: %+v, want cat's, exhausted after 3 attempts", dead)
		}
		if want := []string{"cat.png", "cat.png", "cat.png", "dog.png"}; !slices.Equal(im.rendered, want) {
			t.Errorf("rendered %v, want %v", im.rendered, want)
		}
	})
}

func TestWhatIsNoImageIsDeadLetteredAtOnceAndMayComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := broker.NewMemory()
		im := &images{render: func(_ context.Context, n int) error {
			if n == 1 {
				return unittest.ErrNoImage
			}
			return nil
		}}
		_, stop := start(t, mem, im)
		upload(t, mem, "cat")
		settled(t, mem)
		if dead := mem.DeadLetters("uploads"); len(dead) != 1 || dead[0].Reason != "permanent" || dead[0].Attempts != 1 {
			t.Errorf("dead letters: %+v, want one, permanent after 1 attempt", dead)
		}

		if n, err := mem.Redrive("uploads"); n != 1 || err != nil { // somebody has mended the file
			t.Fatal(n, err)
		}
		settled(t, mem)
		stop()
		if dead := mem.DeadLetters("uploads"); len(dead) != 0 || im.calls() != 2 {
			t.Errorf("dead letters: %+v after %d calls, want none after 2", dead, im.calls())
		}
	})
}

func TestSameUploadTwiceRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, im := broker.NewMemory(), &images{}
		r, stop := start(t, mem, im)
		upload(t, mem, "cat", "cat", "cat")
		settled(t, mem)
		stop()
		if c := r.Counts(); im.calls() != 1 || c.Outcomes[eventflow.Duplicate] != 2 {
			t.Errorf("%d calls, counts %+v, want 1 call and 2 duplicates", im.calls(), c)
		}
	})
}

func TestSweepRunsAtThreeEachNight(t *testing.T) {
	t.Parallel()
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		mem := broker.NewMemory()
		im := &images{stale: []string{"old.png"}, render: func(ctx context.Context, _ int) error {
			if at := eventflow.RunFrom(ctx).Fire.Nominal.In(lisbon); at.Hour() != 3 || at.Minute() != 0 {
				t.Errorf("fired for %v, want 03:00", at)
			}
			return nil
		}}
		r, stop := start(t, mem, im, runner.At(eventflow.Cron("0 3 * * *", lisbon), runner.With(eventflow.Parameters{"Size": 128})))
		time.Sleep(100 * 24 * time.Hour) // into April, past the night in which summer time begins
		synctest.Wait()
		stop()
		if c := r.Counts(); c.Fires.Outcomes[eventflow.Succeeded] != 100 {
			t.Errorf("fires: %+v, want 100 succeeded", c.Fires)
		}
		if got := thumbs(t, mem); len(got) != 100 || got[0] != `{"of":"old.png","size":128}` {
			t.Errorf("%d thumbs, want 100 of 128 pixels", len(got))
		}
	})
}
