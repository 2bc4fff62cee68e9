package servicebus_test

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
)

// elsewhere starts a server in a process of its own.
func elsewhere(b *testing.B) (connectionString string) {
	b.Helper()
	program := filepath.Join(b.TempDir(), "servicebustest")
	build, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../cmd/servicebustest").CombinedOutput()
	require.NoError(b, err, "%s", build)
	cmd := exec.CommandContext(b.Context(), program, "-queue", "q")
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return strings.TrimSpace(line)
}

func thousands(n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "bench", Type: "bench", Data: make([]byte, 1024)}
	}
	return evs
}

// BenchmarkConsume: one event received and settled, by azservicebus alone with concurrent settlements, and through a
// runner.
func BenchmarkConsume(b *testing.B) {
	fill := func(b *testing.B, bus *servicebus.Broker) {
		b.Helper()
		p := bus.Publisher("q")
		evs := thousands(b.N)
		for i := 0; i < len(evs); i += 500 {
			require.NoError(b, p.Publish(b.Context(), evs[i:min(i+500, len(evs))]...))
		}
	}
	b.Run("raw", func(b *testing.B) {
		cs := elsewhere(b)
		bus, err := servicebus.New(servicebus.Config{ConnectionString: cs})
		require.NoError(b, err)
		fill(b, bus)
		require.NoError(b, bus.Close(b.Context()))
		client, err := azservicebus.NewClientFromConnectionString(cs, nil)
		require.NoError(b, err)
		r, err := client.NewReceiverForQueue("q", nil)
		require.NoError(b, err)
		b.ResetTimer()
		var settling sync.WaitGroup
		slots := make(chan struct{}, 64)
		for n := 0; n < b.N; {
			ms, err := r.ReceiveMessages(b.Context(), min(256, b.N-n), nil)
			require.NoError(b, err)
			n += len(ms)
			for _, m := range ms {
				slots <- struct{}{}
				settling.Go(func() {
					if err := r.CompleteMessage(b.Context(), m, nil); err != nil {
						b.Error(err)
					}
					<-slots
				})
			}
		}
		settling.Wait()
		b.StopTimer()
		require.NoError(b, client.Close(b.Context()))
	})
	b.Run("runner", func(b *testing.B) {
		bus, err := servicebus.New(servicebus.Config{ConnectionString: elsewhere(b)})
		require.NoError(b, err)
		fill(b, bus)
		var n atomic.Int64
		ctx, stop := context.WithCancel(b.Context())
		r, err := runner.New(eventflow.NewSink("bench", func(context.Context, []byte) error {
			if n.Add(1) == int64(b.N) {
				stop()
			}
			return nil
		}), runner.On(bus.Queue("q")))
		require.NoError(b, err)
		b.ResetTimer()
		require.NoError(b, r.Listen(ctx))
		b.StopTimer()
		stop()
		require.NoError(b, bus.Close(b.Context()))
	})
}

// BenchmarkPublish500: one call of 500 events, by azservicebus alone and by a Publisher.
func BenchmarkPublish500(b *testing.B) {
	evs := thousands(500)
	b.Run("raw", func(b *testing.B) {
		client, err := azservicebus.NewClientFromConnectionString(elsewhere(b), nil)
		require.NoError(b, err)
		s, err := client.NewSender("q", nil)
		require.NoError(b, err)
		for b.Loop() {
			var batch *azservicebus.MessageBatch
			for i := range evs {
				m := &azservicebus.Message{MessageID: &evs[i].ID, Body: evs[i].Data, ApplicationProperties: map[string]any{
					"cloudEvents:specversion": "1.0", "cloudEvents:id": evs[i].ID, "cloudEvents:source": evs[i].Source, "cloudEvents:type": evs[i].Type,
				}}
				if batch != nil && batch.AddMessage(m, nil) == nil {
					continue
				}
				if batch != nil {
					require.NoError(b, s.SendMessageBatch(b.Context(), batch, nil))
				}
				batch, err = s.NewMessageBatch(b.Context(), nil)
				require.NoError(b, err)
				require.NoError(b, batch.AddMessage(m, nil))
			}
			require.NoError(b, s.SendMessageBatch(b.Context(), batch, nil))
		}
		require.NoError(b, client.Close(b.Context()))
	})
	b.Run("publisher", func(b *testing.B) {
		bus, err := servicebus.New(servicebus.Config{ConnectionString: elsewhere(b)})
		require.NoError(b, err)
		p := bus.Publisher("q")
		for b.Loop() {
			require.NoError(b, p.Publish(b.Context(), evs...))
		}
		require.NoError(b, bus.Close(b.Context()))
	})
}
