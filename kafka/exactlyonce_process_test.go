package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

// till is a cluster with a topic of orders, one of results and one of dead letters, a group that takes the first, and what
// its processes need to know.
type till struct {
	Seeds   []string
	Orders  string
	Results string
	Group   string
	Name    string // of the static member; "": none
	Mode    kafka.Mode
	KIP848  bool
	Chaos   bool // the network hangs up now and then
	Fake    bool // cluster: see assembled
}

const (
	tillVariable   = "EVENTFLOW_KAFKA_TEST_TILL"
	tillPartitions = 4
	tillSession    = 3 * time.Second
	tillTimeout    = 2 * time.Second // of a transaction
)

func newTill(t *testing.T, seeds []string) *till {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	name := "eventflow-" + kafka.NewID()
	x := &till{Seeds: seeds, Orders: name + "-orders", Results: name + "-results", Group: name}
	for _, topic := range []string{x.Orders, x.Orders + ".dlq", x.Results} {
		_, err := adm.CreateTopic(t.Context(), tillPartitions, -1, nil, topic)
		require.NoError(t, err)
		visible(t, adm, topic)
	}
	return x
}

// what becomes of an order.
func isBad(i int) bool   { return i%50 == 7 }
func isLarge(i int) bool { return i%400 == 3 } // its result is, and aborts its transaction
func isDead(i int) bool  { return isBad(i) || isLarge(i) }

// take runs the flow on the subscriber until ctx ends.
func (x *till) take(ctx context.Context, b *kafka.Broker) error {
	opts := []eventflow.SubscriberOption{eventflow.Group(x.Group), kafka.ExactlyOnce(tillTimeout), x.Mode}
	if x.Name != "" {
		opts = append(opts, kafka.StaticMember(x.Name))
	}
	if x.KIP848 {
		opts = append(opts, kafka.ServerSideBalancer(tillSession))
	}
	r, err := runner.New(eventflow.NewFlow("take", func(_ context.Context, v string) (eventflow.Many[string], error) {
		i, err := strconv.Atoi(v)
		switch {
		case err != nil, isBad(i):
			return nil, eventflow.Permanent(fmt.Errorf("no order: %q", v))
		case isLarge(i):
			return eventflow.Many[string]{"of an aborted transaction", strings.Repeat("x", 2<<20)}, nil
		}
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // runs that overlap, so that transactions hold several
		return eventflow.Many[string]{"of " + v}, nil
	}), runner.On(b.Subscriber(x.Orders, opts...)), runner.PublishTo(b.Publisher(x.Results)),
		runner.Logger(quietLog), runner.Grace(2*time.Second), runner.HardStop(time.Second), runner.MaxRuns(16))
	if err != nil {
		return err
	}
	return r.Listen(ctx)
}

// TestExactlyOnceChild is a process of the tests below.
func TestExactlyOnceChild(t *testing.T) { //nolint:paralleltest // a process of its own
	said := os.Getenv(tillVariable)
	if said == "" {
		t.Skip("it is started by other tests")
	}
	var x till
	require.NoError(t, json.Unmarshal([]byte(said), &x))
	w := &line{}
	cfg := kafka.Config{Seeds: x.Seeds, Logger: quietLog, Client: []kgo.Opt{
		kgo.SessionTimeout(tillSession), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(12 * time.Second), kgo.Dialer(w.dial),
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if x.Chaos {
		go func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(300+rand.IntN(1000)) * time.Millisecond) // between two faults
				w.hangUp()
			}
		}()
	}
	require.NoError(t, x.take(ctx, open(t, cfg)))
}

// process starts one.
func (x till) process(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	named := x
	named.Name = name
	said, err := json.Marshal(named)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestExactlyOnceChild$", "-test.v")
	cmd.Env = append(os.Environ(), tillVariable+"="+string(said))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return cmd
}

// order publishes the orders from, …, to−1.
func (x *till) order(t *testing.T, from, to int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.Seeds...))
	require.NoError(t, err)
	defer cl.Close()
	var rs []*kgo.Record
	for i := from; i < to; i++ {
		rs = append(rs, &kgo.Record{Topic: x.Orders, Key: fmt.Appendf(nil, "key-%d", i%97), Value: strconv.AppendInt(nil, int64(i), 10)})
	}
	require.NoError(t, cl.ProduceSync(t.Context(), rs...).FirstErr())
}

// settled waits until the group has committed all orders and no transaction is open. It gives up when nothing moves any
// more.
func (x *till) settled(t *testing.T, patience time.Duration) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.Seeds...))
	require.NoError(t, err)
	defer cl.Close()
	adm := kadm.NewClient(cl)
	open := func(topic string) (n int64) {
		ends, err1 := adm.ListEndOffsets(t.Context(), topic)
		stable, err2 := adm.ListCommittedOffsets(t.Context(), topic)
		if errors.Join(err1, err2, ends.Error(), stable.Error()) != nil {
			return 1
		}
		ends.Each(func(o kadm.ListedOffset) {
			s, _ := stable.Lookup(topic, o.Partition)
			n += o.Offset - s.Offset
		})
		return n
	}
	said := ""
	left := func() bool {
		ends, err1 := adm.ListEndOffsets(t.Context(), x.Orders)
		committed, err2 := adm.FetchOffsets(t.Context(), x.Group)
		if err := errors.Join(err1, err2, ends.Error(), committed.Error()); err != nil {
			said = err.Error()
			return true
		}
		lag := int64(0)
		ends.Each(func(o kadm.ListedOffset) {
			c, _ := committed.Lookup(x.Orders, o.Partition)
			lag += o.Offset - c.At
		})
		results, dead := open(x.Results), open(x.Orders+".dlq")
		said = fmt.Sprintf("%d orders, transactions over %d results and %d dead letters", lag, results, dead)
		return lag != 0 || results != 0 || dead != 0
	}
	last, since := "", time.Now()
	for left() {
		if said != last {
			last, since = said, time.Now()
		}
		if time.Since(since) > patience {
			t.Fatalf("something is left, and nothing moves: %s", said)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// assembled waits until so many members have joined the classic group. The fake cluster never forgets a member that dies
// while its join waits for others: https://github.com/twmb/franz-go, kfake's completeRebalance starts its session only when
// the answer could be sent. On Apache Kafka processes are killed at any moment.
func (x *till) assembled(t *testing.T, members int) {
	t.Helper()
	if x.KIP848 {
		return
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.Seeds...))
	require.NoError(t, err)
	defer cl.Close()
	require.Eventually(t, func() bool {
		gs, err := kadm.NewClient(cl).DescribeGroups(t.Context(), x.Group)
		return err == nil && gs[x.Group].State == "Stable" && len(gs[x.Group].Members) == members
	}, time.Minute, 20*time.Millisecond, "the group does not assemble")
}

// read gives the values of a topic, and how often each is there.
func (x *till) read(t *testing.T, topic string, level kgo.IsolationLevel) map[string]int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(x.Seeds...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer cl.Close()
	list := kadm.NewClient(cl).ListEndOffsets
	if level == kgo.ReadCommitted() {
		list = kadm.NewClient(cl).ListCommittedOffsets
	}
	ends, err := list(t.Context(), topic)
	require.NoError(t, err)
	left := map[int32]bool{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = true
		}
	})
	out := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		require.NoError(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out[string(r.Value)]++
			}
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset == end.Offset-1 {
				delete(left, r.Partition)
			}
		})
	}
	return out
}

// audit checks from the records alone that each of n orders has exactly one result or one dead letter. It gives how many
// records of aborted transactions it saw.
func (x *till) audit(t *testing.T, n int) (aborted int) {
	t.Helper()
	results, dead := x.read(t, x.Results, kgo.ReadCommitted()), x.read(t, x.Orders+".dlq", kgo.ReadCommitted())
	var lost, twice []string
	for i := range n {
		v, want, other := "of "+strconv.Itoa(i), results, dead
		if isDead(i) {
			v, want, other = strconv.Itoa(i), dead, results
		}
		switch {
		case want[v] == 0:
			lost = append(lost, v)
		case want[v] > 1 || other[v] > 0:
			twice = append(twice, fmt.Sprint(v, " × ", want[v]))
		}
	}
	require.Empty(t, lost, "orders without a result")
	require.Empty(t, twice, "results that are there more than once")
	require.Len(t, results, n-len(dead), "results of nothing")
	for _, topic := range []string{x.Results, x.Orders + ".dlq"} {
		for _, k := range x.read(t, topic, kgo.ReadUncommitted()) {
			aborted += k
		}
	}
	return aborted - n
}

// size is a number of the environment, or what fits a test that runs each time.
func size(t *testing.T, variable string, small int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return small
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, variable)
	return n
}

// killed runs n orders through three processes of which one is killed and started again every now and then.
func (x *till) killed(t *testing.T, n, kills int) {
	t.Helper()
	const processes = 3
	start := func(i int) *exec.Cmd {
		if i == 0 {
			return x.process(t, "till") // comes back as who it was
		}
		return x.process(t, "")
	}
	var running [processes]*exec.Cmd
	for i := range running {
		running[i] = start(i)
	}
	defer func() {
		for _, cmd := range running {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	for k := range kills {
		x.order(t, k*n/(kills+1), (k+1)*n/(kills+1))
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond) // at any moment of what is under way
		i := rand.IntN(processes)
		if x.Fake {
			x.assembled(t, processes)
		}
		if k%4 == 3 {
			require.NoError(t, running[i].Process.Signal(syscall.SIGSTOP)) // and wakes up fenced
			time.Sleep(tillSession + time.Second)                          // longer than the session: it wakes up as nobody's member
			require.NoError(t, running[i].Process.Signal(syscall.SIGCONT))
			continue
		}
		require.NoError(t, running[i].Process.Kill())
		_ = running[i].Wait()
		running[i] = start(i)
	}
	x.order(t, kills*n/(kills+1), n)
	x.settled(t, time.Minute)
	aborted := x.audit(t, n)
	t.Logf("%d orders, %d kills, %d records in aborted transactions", n, kills, aborted)
	require.Positive(t, aborted, "no transaction was aborted: the test has shown nothing")
}

func TestExactlyOnceHoldsWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]till{
		"key lanes":       {Mode: kafka.KeyLanes, Chaos: true},
		"partition lanes": {Mode: kafka.PartitionLanes},
		"unordered":       {Mode: kafka.Unordered, KIP848: true, Chaos: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
				"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0",
				"group.consumer.session.timeout.ms": fmt.Sprint(tillSession.Milliseconds()), "group.consumer.heartbeat.interval.ms": "200",
			}))
			require.NoError(t, err)
			t.Cleanup(c.Close)
			y := newTill(t, c.ListenAddrs())
			y.Mode, y.KIP848, y.Chaos, y.Fake = x.Mode, x.KIP848, x.Chaos, true
			y.killed(t, size(t, "EVENTFLOW_EVENTS", 1500), size(t, "EVENTFLOW_KILLS", 5))
		})
	}
}

func TestExactlyOnceHoldsOnApacheWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	for name, x := range map[string]till{
		"key lanes": {Mode: kafka.KeyLanes, Chaos: true},
		"KIP-848":   {Mode: kafka.PartitionLanes, KIP848: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newTill(t, seeds)
			y.Mode, y.KIP848, y.Chaos = x.Mode, x.KIP848, x.Chaos
			if x.KIP848 {
				cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
				require.NoError(t, err)
				defer cl.Close()
				sessionOf(t, cl, y.Group, tillSession)
			}
			y.killed(t, size(t, "EVENTFLOW_EVENTS", 1500), size(t, "EVENTFLOW_KILLS", 5))
		})
	}
}
