package kafka_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

const (
	childSeeds = "EVENTFLOW_KAFKA_TEST_SEEDS"
	exitCode   = 3
)

// TestChild is a process of the tests below: a runner whose flow exits on "poison", waits on "slow" for its context, and
// stops the runner gracefully on "last".
func TestChild(t *testing.T) { //nolint:paralleltest // a process of its own
	seeds := os.Getenv(childSeeds)
	if seeds == "" {
		t.Skip("it is started by other tests")
	}
	b := open(t, kafka.Config{Seeds: strings.Split(seeds, ","), Logger: quietLog, Client: worldClient()})
	s, err := b.OpenSubscriber("one", eventflow.Group("g"), kafka.KeyLanes)
	require.NoError(t, err)
	results, err := b.OpenPublisher("results")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := runner.New(eventflow.NewFlow("f", func(ctx context.Context, v string) (string, error) {
		switch v {
		case "poison":
			os.Exit(exitCode) //nolint:forbidigo // this is what the test is about
		case "slow":
			say("slow")
			<-ctx.Done()
			say("cancelled:", context.Cause(ctx))
			return "of " + v + " by a child", nil
		case "last":
			time.AfterFunc(200*time.Millisecond, cancel)
		}
		return "of " + v, nil
	}), runner.On(s), runner.PublishTo(results), runner.MaxAttempts(3), runner.Logger(quietLog), runner.Grace(time.Second), runner.HardStop(time.Second))
	require.NoError(t, err)
	require.NoError(t, r.Listen(ctx))
}

// say tells the parent.
func say(what ...any) { _, _ = fmt.Fprintln(os.Stdout, what...) }

// child starts one.
func (w *world) child() *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childSeeds+"="+strings.Join(w.ListenAddrs(), ","))
	return cmd
}

func TestRecordWhoseFlowExitsTheProcessIsDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(40, func(i int) (string, string) {
		switch i {
		case 20:
			return "p", "poison"
		case 39:
			return "l", "last"
		}
		return number(i)
	})
	const most = 2 + 3 // starts that nobody suspects yet, and the attempts
	starts := 0
	for {
		out, err := w.child().CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == exitCode {
			starts++
			require.LessOrEqual(t, starts, most, "it is started again and again")
			continue
		}
		require.NoError(t, err, "%s", out)
		if w.committed() == 40 {
			break
		}
	}
	require.GreaterOrEqual(t, starts, 3)
	require.EqualValues(t, 40, w.committed())
	dead := w.read("one.dlq", 1)
	require.Equal(t, "poison", string(dead[0].Value))
	require.Equal(t, "3", headerOf(dead[0], "eventflow-attempts"))
	results := map[string]bool{}
	for _, r := range w.read("results", 39) {
		results[string(r.Value)] = true
	}
	require.NotContains(t, results, "of poison")
	require.Len(t, results, 39, "a neighbour is lost")
}

// read gives the records of a topic, at least n.
func (w *world) read(topic string, n int) (out []*kgo.Record) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.ConsumeTopics(topic))
	require.NoError(w.t, err)
	defer cl.Close()
	for wait := 10 * time.Second; ; {
		ctx, cancel := context.WithTimeout(w.t.Context(), wait)
		fs := cl.PollFetches(ctx)
		cancel()
		out = append(out, fs.Records()...)
		if len(out) >= n {
			wait = 300 * time.Millisecond
		}
		if fs.NumRecords() == 0 {
			require.GreaterOrEqual(w.t, len(out), n, topic)
			return out
		}
	}
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestGracefulRestartsAddNoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(3, number)
	b, _ := w.broker()
	for range 6 {
		s := w.subscriber(b)
		for _, d := range take(t, s, 3) {
			require.Zero(t, d.Attempts)
		}
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestFailedAttemptsSurviveACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(5, number)
	for n := range 4 {
		b, x := w.broker()
		s := w.subscriber(b, kafka.KeyLanes)
		var poor *eventflow.Delivery
		for _, d := range take(t, s, 1) {
			require.Equal(t, n, d.Attempts)
			poor = d
		}
		before := w.metadata()
		poor.Attempted()
		require.Eventually(t, func() bool { return w.metadata() != before }, 10*time.Second, 10*time.Millisecond)
		if n%2 == 0 {
			crash(s, x)
		} else {
			require.NoError(t, s.Close(t.Context()))
		}
	}
}

// metadata is the text beside the group's offset.
func (w *world) metadata() string {
	committed, err := kadm.NewClient(w.cl).FetchOffsets(w.t.Context(), "g")
	require.NoError(w.t, err)
	o, _ := committed.Lookup("one", 0)
	return o.Metadata
}

func TestProcessThatWasStoppedWakesUpFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(1, func(int) (string, string) { return "k", "slow" })
	cmd := w.child()
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(pipe); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	said := func(prefix string) {
		t.Helper()
		for l := range lines {
			if strings.HasPrefix(l, prefix) {
				return
			}
		}
		t.Fatalf("the child did not say %q", prefix)
	}
	said("slow")
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	b, _ := w.broker()
	s := w.subscriber(b)
	d := take(t, s, 1)[0] // once the session of the other is over
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	said("cancelled:")
	time.Sleep(time.Second) // for what it must not do
	require.Zero(t, w.committed())
	require.True(t, d.Open())
	d.Ack()
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.EqualValues(t, 1, w.committed())
	require.Empty(t, w.read("results", 0), "the fenced run has published")
}
