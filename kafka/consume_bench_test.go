package kafka_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

const benchServer = "EVENTFLOW_KAFKA_BENCH_SERVER"

// TestBenchServer is the fake cluster of the benchmarks, in a process of its own, so that its work is not counted as ours.
func TestBenchServer(t *testing.T) { //nolint:paralleltest // a process of its own
	if os.Getenv(benchServer) == "" {
		t.Skip("it is started by benchmarks")
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "bench", "bench.dlq"))
	require.NoError(t, err)
	say("listening", strings.Join(c.ListenAddrs(), ","))
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the benchmark ends
	c.Close()
}

// serve starts a cluster with n events of 1 KiB in four partitions of the topic "bench".
func serve(b *testing.B, n, keys int) (seeds []string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchServer$", "-test.v")
	cmd.Env = append(os.Environ(), benchServer+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if addresses, ok := strings.CutPrefix(sc.Text(), "listening "); ok {
			seeds = strings.Split(addresses, ",")
			break
		}
	}
	go func() { // what the tests print
		_, _ = io.Copy(io.Discard, out)
	}()
	fill(b, backlog{seeds: seeds, topic: "bench", n: n}, keys, make([]byte, 1024))
	return seeds
}

// backlog is a topic with events.
type backlog struct {
	seeds []string
	topic string
	n     int
}

// fill publishes the events, of so many keys, all with one payload.
func fill(b *testing.B, x backlog, keys int, value []byte) {
	b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer cl.Close()
	var failed atomic.Pointer[error]
	for i := range x.n {
		cl.Produce(b.Context(), &kgo.Record{Topic: x.topic, Partition: int32(i % 4), Key: fmt.Appendf(nil, "key-%d", i/4%keys), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	require.NoError(b, cl.Flush(b.Context()))
	require.Nil(b, failed.Load())
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs f as the benchmark's one op an event.
func measured(b *testing.B, f func()) {
	b.Helper()
	b.ReportAllocs()
	used := cpu()
	b.ResetTimer()
	f()
	b.StopTimer()
	b.ReportMetric(float64(cpu()-used)/float64(b.N), "cpu-ns/op")
}

// round is what one way through a backlog has used.
type round struct{ time, cpu, bytes, allocs float64 }

func (r round) mean(x round) round {
	return round{(r.time + x.time) / 2, (r.cpu + x.cpu) / 2, (r.bytes + x.bytes) / 2, (r.allocs + x.allocs) / 2}
}

// compare lets two ways go through the same backlog in turns, each from the making of its client until it has left its
// group, and compares each round of the second with those of the first before and behind it. The medians count. An op is
// an event.
func compare(b *testing.B, base string, first, second func(group string)) {
	b.Helper()
	const rounds = 5
	run := func(f func(group string)) round {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		begin, used := time.Now(), cpu()
		f("eventflow-" + kafka.NewID())
		r := round{time: float64(time.Since(begin)), cpu: float64(cpu() - used)}
		runtime.ReadMemStats(&after)
		r.bytes, r.allocs = float64(after.TotalAlloc-before.TotalAlloc), float64(after.Mallocs-before.Mallocs)
		return r
	}
	run(first) // the first of all finds everything cold
	figures := map[string][]float64{}
	b.ResetTimer()
	before := run(first)
	for range rounds {
		r := run(second)
		after := run(first)
		f := before.mean(after)
		before = after
		for unit, v := range map[string]float64{
			"of-" + base: f.time / r.time, "x-" + base + "-cpu": r.cpu / f.cpu,
			base + "-ns/op": f.time / float64(b.N), "ns/op": r.time / float64(b.N),
			base + "-cpu-ns/op": f.cpu / float64(b.N), "cpu-ns/op": r.cpu / float64(b.N),
			"more-B/op": (r.bytes - f.bytes) / float64(b.N), "more-allocs/op": (r.allocs - f.allocs) / float64(b.N),
		} {
			figures[unit] = append(figures[unit], v)
		}
	}
	b.StopTimer()
	for unit, vs := range figures {
		slices.Sort(vs)
		b.ReportMetric(vs[len(vs)/2], unit)
	}
}

// BenchmarkConsume compares a whole runner, with its memory store and a flow that takes bytes, with the client that does
// nothing but poll, in each mode: it gives the runner's throughput as a part of the client's, its CPU as a multiple, and
// what it allocates beyond the client's own.
func BenchmarkConsume(b *testing.B) {
	consume(b, func(b *testing.B) backlog {
		b.Helper()
		return backlog{seeds: serve(b, b.N, 1000), topic: "bench", n: b.N}
	})
}

// BenchmarkConsumeApache is the same on Apache Kafka, which on the same processors may be the limit of both.
func BenchmarkConsumeApache(b *testing.B) {
	seeds := apache(b, "EVENTFLOW_KAFKA")
	consume(b, func(b *testing.B) backlog {
		b.Helper()
		x := backlog{seeds: seeds, topic: apacheTopic(b, seeds, 4), n: b.N}
		fill(b, x, 1000, make([]byte, 1024))
		return x
	})
}

func consume(b *testing.B, open func(b *testing.B) backlog) {
	b.Helper()
	for _, m := range []kafka.Mode{kafka.PartitionLanes, kafka.KeyLanes, kafka.Unordered} {
		b.Run(strings.ReplaceAll(m.String(), " ", "-"), func(b *testing.B) {
			x := open(b)
			compare(b, "raw", func(group string) { pollAll(b, x, group) }, func(group string) {
				runAll(b, x, group, func(context.Context, []byte) error { return nil }, m)
			})
		})
	}
}

// pollAll consumes with the client alone.
func pollAll(b *testing.B, x backlog, group string) {
	b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.seeds...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(x.topic))
	require.NoError(b, err)
	for n := 0; n < x.n; {
		n += cl.PollFetches(b.Context()).NumRecords()
	}
	cl.Close()
}

// runAll consumes with a runner.
func runAll[P any](b *testing.B, x backlog, group string, do func(context.Context, P) error, opts ...eventflow.SubscriberOption) {
	b.Helper()
	k, err := kafka.New(kafka.Config{Seeds: x.seeds, Logger: quietLog})
	require.NoError(b, err)
	s, err := k.OpenSubscriber(x.topic, append(opts, eventflow.Group(group))...)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var seen atomic.Int64
	r, err := runner.New(eventflow.NewSink("bench", func(ctx context.Context, v P) error {
		defer func() {
			if seen.Add(1) == int64(x.n) {
				cancel()
			}
		}()
		return do(ctx, v)
	}), runner.On(s), runner.Logger(quietLog))
	require.NoError(b, err)
	require.NoError(b, r.Listen(ctx))
	require.NoError(b, k.Close(b.Context()))
}

// BenchmarkConsumeJSON compares a flow that takes a struct with one that takes bytes and makes the struct of them with
// encoding/json: what a codec costs beyond that.
func BenchmarkConsumeJSON(b *testing.B) {
	type order struct {
		ID    string   `json:"id"`
		Total float64  `json:"total"`
		Items []string `json:"items"`
		Note  string   `json:"note"`
	}
	value, err := json.Marshal(order{ID: "7", Total: 12.5, Items: []string{"one", "two", "three"}, Note: strings.Repeat("n", 950)})
	require.NoError(b, err)
	x := backlog{seeds: serve(b, 0, 1), topic: "bench", n: b.N}
	fill(b, x, 1000, value)
	sum := func(o *order) {
		if o.Total == 0 {
			b.Error("an order without a total")
		}
	}
	compare(b, "bare", func(group string) {
		runAll(b, x, group, func(_ context.Context, data []byte) error {
			var o order
			err := json.Unmarshal(data, &o)
			sum(&o)
			return err
		})
	}, func(group string) {
		runAll(b, x, group, func(_ context.Context, o order) error {
			sum(&o)
			return nil
		})
	})
}
