package sqs_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

func TestFlowIsCancelledWhenTheQueueLosesItsLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 30 * time.Second})
		b.publish(1)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		causes := make(chan error, 10)
		flow := eventflow.NewSink("slow", func(ctx context.Context, _ []byte) error {
			if len(causes) > 0 { // the second time it has nothing to wait for
				stop()
				return nil
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		})
		r, err := runner.New(flow, runner.On(b.broker.Subscriber("q", sqs.LeavePoison())), runner.MaxRuns(1), runner.MaxInFlight(1))
		require.NoError(t, err)
		time.AfterFunc(time.Minute, func() { b.server.ExpireVisibility("q") })
		require.NoError(t, r.Listen(ctx))
		require.ErrorIs(t, <-causes, eventflow.ErrLockLost)
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}

func TestFlowIsCancelledBeforeAMessageThatCannotBeRenewedIsVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const visibility = 30 * time.Second
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: visibility})
		b.publish(3)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		start := time.Now()
		b.next(s, 3)
		stop := b.server.Intercept(func(r sqstest.Request) sqstest.Fault {
			if r.Action == "ChangeMessageVisibilityBatch" {
				return sqstest.Fault{Action: sqstest.Silence}
			}
			return sqstest.Fault{}
		})
		defer stop()
		time.Sleep(visibility - 10*time.Millisecond)
		require.Equal(t, 3, b.server.Stats("q").InFlight, "nobody else can have them yet")
		_, lost := x.counts()
		require.Equal(t, 3, lost)
		require.ErrorIs(t, x.errs[0], eventflow.ErrLockLost)
		require.Less(t, x.when[0].Sub(start), visibility)
	})
}

func TestMessageIsNotHeldBeyondTwelveHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 10 * time.Minute})
		b.publish(1)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		b.next(s, 1)
		time.Sleep(12*time.Hour - 2*time.Second)
		_, lost := x.counts()
		require.Zero(t, lost)
		require.Equal(t, 1, b.server.Stats("q").InFlight)
		time.Sleep(2 * time.Second)
		_, lost = x.counts()
		require.Equal(t, 1, lost)
	})
}

func TestWhatIsHeldBySomebodyElseIsNotDeleted(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]string{"standard": "q", "FIFO": "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, queue, sqstest.Queue{VisibilityTimeout: 30 * time.Second})
				b.publish(1)
				first, second := b.broker.Subscriber(queue), b.broker.Subscriber(queue)
				var x, y told
				require.NoError(t, first.Start(b.ctx, x.listening()))
				require.NoError(t, second.Start(b.ctx, y.listening()))
				mine := b.next(first, 1)[0]
				b.server.ExpireVisibility(queue)
				theirs := b.next(second, 1)[0]
				mine.Ack()
				time.Sleep(time.Second)
				require.Equal(t, 1, b.server.Stats(queue).InFlight)
				time.Sleep(time.Minute)
				require.True(t, theirs.Open())
				theirs.Ack()
				time.Sleep(time.Second)
				require.Equal(t, sqstest.Stats{}, b.server.Stats(queue))
				settled, _ := y.counts()
				require.Equal(t, 1, settled)
			})
		})
	}
}

// The same message, received a second time by the same consumer, is one delivery at a time.
func TestMessageReceivedAgainLosesItsFirstDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 30 * time.Second})
		b.publish(1)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		first := b.next(s, 1)[0]
		b.server.ExpireVisibility("q")
		second := b.next(s, 1)[0]
		require.True(t, first.Lost())
		synctest.Wait() // Lost may be told while Next hands over
		_, lost := x.counts()
		require.Equal(t, 1, lost)
		second.Ack()
		require.NoError(t, s.Close(b.ctx))
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}

// say tells the process that started this one.
func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// TestStoppedProcess is a process for TestStoppedProcessFindsItselfFenced.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	endpoint := os.Getenv("EVENTFLOW_TEST_STOPPED")
	if endpoint == "" {
		t.Skip("for another test")
	}
	b := sqs.New(aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKIASTOPPED", "secret", ""),
	}, sqs.LongPoll(time.Second))
	s := b.Subscriber("q")
	require.NoError(t, s.Start(t.Context(), eventflow.Listening{
		Settled: func(_ []*eventflow.Delivery, err error) { say("SETTLED", err) },
		Lost:    func([]*eventflow.Delivery, error) { say("LOST") },
	}))
	ds, err := s.Next(t.Context(), eventflow.Want{Events: 1})
	require.NoError(t, err)
	say("HELD")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // it is stopped meanwhile
	ds[0].Ack()
	time.Sleep(time.Second)
	say("DONE")
}

func TestStoppedProcessFindsItselfFenced(t *testing.T) {
	t.Parallel()
	server := sqstest.New(t, sqstest.Options{})
	require.NoError(t, server.CreateQueue("q", sqstest.Queue{VisibilityTimeout: 3 * time.Second}))
	b := sqs.New(server.Config(), sqs.LongPoll(time.Second))
	defer func() { require.NoError(t, b.Close(t.Context())) }()
	require.NoError(t, b.Publisher("q").Publish(t.Context(), eventflow.Event{ID: "1", Source: "/s", Type: "t", Data: []byte("x")}))

	p := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoppedProcess$", "-test.v")
	p.Env = append(os.Environ(), "EVENTFLOW_TEST_STOPPED="+server.Endpoint())
	in, err := p.StdinPipe()
	require.NoError(t, err)
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	defer func() { _ = p.Wait() }()
	lines := bufio.NewScanner(out)
	await := func(word string) (seen []string) {
		for lines.Scan() {
			seen = append(seen, lines.Text())
			if strings.HasPrefix(lines.Text(), word) {
				return seen
			}
		}
		t.Errorf("the process never said %s: %q", word, seen)
		return seen
	}
	await("HELD")
	require.NoError(t, p.Process.Signal(syscall.SIGSTOP))
	s := b.Subscriber("q")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ds, err := s.Next(ctx, eventflow.Want{Events: 1})
	require.NoError(t, err)
	require.NoError(t, p.Process.Signal(syscall.SIGCONT))
	_, err = fmt.Fprintln(in)
	require.NoError(t, err)
	seen := strings.Join(await("DONE"), "\n")
	require.NotContains(t, seen, "SETTLED <nil>")
	require.True(t, strings.Contains(seen, "LOST") || strings.Contains(seen, "SETTLED"), seen)
	require.True(t, ds[0].Open(), "the one who holds it now is not disturbed")
	require.Zero(t, server.Requests("q", "DeleteMessageBatch")-2, "but for the two that ask for the right")
	ds[0].Ack()
	require.NoError(t, s.Close(ctx))
	require.Equal(t, sqstest.Stats{}, server.Stats("q"))
}
