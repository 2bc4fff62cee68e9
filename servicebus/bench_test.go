package servicebus_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// serverVar makes this program a server; see TestMain.
const serverVar = "EVENTFLOW_SERVICEBUS_SERVER"

// beServer is the server of benchmarks, until its standard input ends: the queue q and the topic t, which nobody
// subscribes to.
func beServer() {
	server, err := servicebustest.Start(servicebustest.Options{
		Queues: map[string]servicebustest.Queue{"q": {}}, Topics: map[string]servicebustest.Topic{"t": {}},
	})
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, server.ConnectionString())
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Close()
}

// elsewhere starts that server in a process of its own, so that what it does and holds is not counted as ours.
func elsewhere(tb testing.TB) (connectionString string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serverVar+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(tb, err)
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(tb, err)
	return strings.TrimSpace(line)
}

func thousands(n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "bench", Type: "bench", Data: make([]byte, 1024)}
	}
	return evs
}

// side is one of the two that a benchmark compares, and what this process used for it. The server's work is not in it.
type side struct {
	name          string
	run           func() (after func()) // after is not measured
	took          []time.Duration
	cpu           time.Duration
	allocs, bytes uint64
}

func (s *side) measure() {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used, begin := cpu(), time.Now()
	clean := s.run()
	s.took = append(s.took, time.Since(begin))
	s.cpu += cpu() - used
	runtime.ReadMemStats(&after)
	s.allocs += after.Mallocs - before.Mallocs
	s.bytes += after.TotalAlloc - before.TotalAlloc
	clean()
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compare runs the two in turns; an op is one of each. "of-raw" is the median of the ratios of neighbours: more than 1 is faster
// than raw.
func compare(b *testing.B, events int, prepare func(), raw, ours func() (after func())) {
	b.Helper()
	sides := [2]*side{{name: "raw-", run: raw}, {run: ours}}
	round := func(i int) {
		for k := range sides {
			prepare()
			sides[(i+k)%2].measure()
		}
	}
	round(0) // connections are made
	for _, s := range sides {
		*s = side{name: s.name, run: s.run}
	}
	b.ResetTimer()
	for i := range b.N {
		round(i)
	}
	b.StopTimer()
	ratios := make([]float64, b.N)
	for i := range ratios {
		ratios[i] = float64(sides[0].took[i]) / float64(sides[1].took[i])
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-raw")
	for _, s := range sides {
		slices.Sort(s.took)
		n := float64(b.N * events)
		b.ReportMetric(float64(s.took[len(s.took)/2])/float64(events), s.name+"ns/event")
		b.ReportMetric(float64(s.cpu)/n, s.name+"cpu-ns/event")
		b.ReportMetric(float64(s.allocs)/n, s.name+"allocs/event")
		b.ReportMetric(float64(s.bytes)/n, s.name+"B/event")
	}
}

// BenchmarkConsume: events of 1 KiB received and settled one by one, by azservicebus with as many settlements at a time
// as a Subscriber has, on the given number of receivers, and through a runner.
func BenchmarkConsume(b *testing.B) {
	for _, receivers := range []int{1, 2} {
		b.Run(fmt.Sprint("receivers=", receivers), func(b *testing.B) {
			const n = 20_000
			cs := elsewhere(b)
			bus, err := servicebus.New(servicebus.Config{ConnectionString: cs})
			require.NoError(b, err)
			client, err := azservicebus.NewClientFromConnectionString(cs, nil)
			require.NoError(b, err)
			p, evs := bus.Publisher("q"), thousands(n)
			fill := func() { require.NoError(b, p.Publish(b.Context(), evs...)) }
			compare(b, n, fill, func() func() { return consumeRaw(b, client, receivers, n) }, func() func() { return consume(b, bus, n) })
			require.NoError(b, client.Close(b.Context()))
			require.NoError(b, bus.Close(b.Context()))
		})
	}
}

// consume has a runner run n events, until the last one's settlement is confirmed.
func consume(b *testing.B, bus *servicebus.Broker, n int64) (after func()) {
	b.Helper()
	var ran atomic.Int64
	last := make(chan struct{})
	r, err := runner.New(eventflow.NewSink("bench", func(context.Context, []byte) error {
		if ran.Add(1) == n {
			close(last)
		}
		return nil
	}), runner.On(bus.Queue("q")))
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(ctx) }()
	<-last
	for r.Counts().InFlight > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	return func() {
		stop()
		require.NoError(b, <-ended)
	}
}

// consumeRaw receives and completes n messages, as who knows azservicebus well would: each receiver's loop does nothing
// but receive, and hands over to goroutines that settle, as many as a Subscriber has. Each settlement has a deadline, for
// behind a cut connection one without it is repeated until its lock has lapsed.
func consumeRaw(b *testing.B, client *azservicebus.Client, receivers int, n int64) (after func()) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var left atomic.Int64
	left.Store(n)
	var running sync.WaitGroup
	rs := make([]*azservicebus.Receiver, receivers)
	for i := range rs {
		r, err := client.NewReceiverForQueue("q", nil)
		require.NoError(b, err)
		rs[i] = r
		received := make(chan *azservicebus.ReceivedMessage, 256)
		for range servicebus.SettleCalls / receivers {
			running.Go(func() {
				for m := range received {
					within, cancel := context.WithTimeout(b.Context(), servicebus.SettleTime)
					if err := r.CompleteMessage(within, m, nil); err != nil {
						b.Error(err)
					}
					cancel()
					if left.Add(-1) == 0 {
						stop()
					}
				}
			})
		}
		running.Go(func() {
			for {
				ms, err := r.ReceiveMessages(ctx, 256, nil)
				if err != nil {
					break
				}
				for _, m := range ms {
					received <- m
				}
			}
			close(received)
		})
	}
	running.Wait()
	return func() {
		for _, r := range rs {
			require.NoError(b, r.Close(b.Context()))
		}
	}
}

// BenchmarkPublish500: one call of 500 events of 1 KiB, by azservicebus in as few batches as take them, and by a Publisher.
func BenchmarkPublish500(b *testing.B) {
	evs := thousands(500)
	cs := elsewhere(b)
	bus, err := servicebus.New(servicebus.Config{ConnectionString: cs})
	require.NoError(b, err)
	p := bus.Publisher("t")
	client, err := azservicebus.NewClientFromConnectionString(cs, nil)
	require.NoError(b, err)
	s, err := client.NewSender("t", nil)
	require.NoError(b, err)
	nothing := func() {}
	compare(b, len(evs), nothing, func() func() {
		publishRaw(b, s, evs)
		return nothing
	}, func() func() {
		require.NoError(b, p.Publish(b.Context(), evs...))
		return nothing
	})
	require.NoError(b, client.Close(b.Context()))
	require.NoError(b, bus.Close(b.Context()))
}

func publishRaw(b *testing.B, s *azservicebus.Sender, evs []eventflow.Event) {
	b.Helper()
	var batch *azservicebus.MessageBatch
	var err error
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
