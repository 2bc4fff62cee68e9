package kafka_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// serve starts a cluster with n events of 1 KiB in four partitions.
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
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer cl.Close()
	value := make([]byte, 1024)
	var failed atomic.Pointer[error]
	for i := range n {
		cl.Produce(b.Context(), &kgo.Record{Topic: "bench", Partition: int32(i % 4), Key: fmt.Appendf(nil, "key-%d", i/4%keys), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	require.NoError(b, cl.Flush(b.Context()))
	require.Nil(b, failed.Load())
	return seeds
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

func BenchmarkConsume(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		seeds := serve(b, b.N, 1000)
		measured(b, func() {
			cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumerGroup("raw"), kgo.ConsumeTopics("bench"))
			require.NoError(b, err)
			for n := 0; n < b.N; {
				n += cl.PollFetches(b.Context()).NumRecords()
			}
			cl.Close()
		})
	})
	for _, m := range []kafka.Mode{kafka.PartitionLanes, kafka.KeyLanes, kafka.Unordered} {
		b.Run(strings.ReplaceAll(m.String(), " ", "-"), func(b *testing.B) {
			seeds := serve(b, b.N, 1000)
			measured(b, func() { consumeAll(b, seeds, b.N, func([]byte) {}, m) })
		})
	}
}

func consumeAll(b *testing.B, seeds []string, n int, do func([]byte), opts ...eventflow.SubscriberOption) {
	b.Helper()
	k, err := kafka.New(kafka.Config{Seeds: seeds, Logger: quietLog})
	require.NoError(b, err)
	s, err := k.OpenSubscriber("bench", append(opts, eventflow.Group("runner"))...)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var seen atomic.Int64
	r, err := runner.New(eventflow.NewSink("bench", func(_ context.Context, data []byte) error {
		do(data)
		if seen.Add(1) == int64(n) {
			cancel()
		}
		return nil
	}), runner.On(s), runner.Logger(quietLog))
	require.NoError(b, err)
	require.NoError(b, r.Listen(ctx))
	require.NoError(b, k.Close(b.Context()))
}
