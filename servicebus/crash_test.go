package servicebus_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// consumerVar makes this program a consumer, and says of which namespace; see TestMain.
const consumerVar = "EVENTFLOW_SERVICEBUS_CONSUMER"

// beConsumer runs a flow from the queue in to the queue out, until it is told to stop or killed, or its standard input ends:
// whoever began it may be gone without a word, as a test is that ran out of time.
func beConsumer(connectionString string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		panic("whoever began it is gone")
	}()
	bus, err := servicebus.New(servicebus.Config{ConnectionString: connectionString})
	if err != nil {
		return err
	}
	flow := eventflow.NewFlow("crashing", func(ctx context.Context, _ []byte) (string, error) {
		time.Sleep(5 * time.Millisecond)
		return eventflow.RunFrom(ctx).Event().ID, nil
	})
	r, err := runner.New(flow, runner.On(bus.Queue("in"), runner.Named("in")), runner.PublishTo(bus.Publisher("out")),
		runner.MaxRuns(8), runner.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	if err := r.Listen(ctx); err != nil {
		return err
	}
	return bus.Close(context.Background())
}

// TestProcessesThatAreKilledLoseNothing: whatever step their events were at, each input has its result in the end, and
// all copies of a result have one ID. The rules of runnertest that begin with Crash do so step by step.
func TestProcessesThatAreKilledLoseNothing(t *testing.T) {
	t.Parallel()
	const events, kills = 800, 6
	live(t, map[string]servicebustest.Queue{"in": {LockDuration: 2 * time.Second, MaxDeliveryCount: 100}, "out": {}}, func(b *bench) {
		p := b.bus.Publisher("in")
		require.NoError(b, p.Publish(b.Context(), numbered(events, 0)...))
		begin := func() *exec.Cmd {
			cmd := exec.CommandContext(b.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), consumerVar+"="+b.server.ConnectionString())
			_, err := cmd.StdinPipe() // which ends with this process
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			return cmd
		}
		results := func() int { return b.server.Stats("out").Active }
		for i := range kills {
			cmd, before := begin(), results()
			require.Eventually(b, func() bool { return results() > before+10*i }, time.Minute, 500*time.Microsecond)
			require.NoError(b, cmd.Process.Kill())
			require.Error(b, cmd.Wait())
		}
		require.Positive(b, b.server.Stats("in").Active) // they were killed at work
		last := begin()
		require.Eventually(b, func() bool { return b.server.Stats("in").Active == 0 }, time.Minute, 10*time.Millisecond)
		require.NoError(b, last.Process.Signal(syscall.SIGTERM))
		require.NoError(b, last.Wait())
		require.Zero(b, b.server.Stats("in").Dead)

		ids := map[string]string{} // of results, by input
		out := b.bus.Queue("out")
		for n := results(); n > 0; n-- {
			d := b.next(out)
			input := string(d.Event.Data)
			if ids[input] == "" {
				ids[input] = d.Event.ID
			}
			require.Equal(b, ids[input], d.Event.ID, "of the results of %s", input)
			d.Ack()
		}
		require.Len(b, ids, events)
		b.close(out)
	})
}
