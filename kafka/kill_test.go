package kafka_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
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
	killPartitions = 4
	killMembers    = 3
	killInFlight   = 32
	killRate       = 300 // events a second, of one protocol
	killKeys       = 50
	killSession    = 6 * time.Second // what scripts/with-servers says of groups of KIP-848
	killPatience   = 90 * time.Second
)

// protocol is a way of sharing a group's partitions.
type protocol struct {
	client    []kgo.Opt
	options   []eventflow.SubscriberOption
	unordered bool
	attempts  int // at most; a share group counts deliveries, and gives a record up after ten
}

var protocols = map[string]protocol{
	"cooperative": {options: []eventflow.SubscriberOption{kafka.KeyLanes}, attempts: 1000},
	"eager":       {client: []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}, attempts: 1000},
	"KIP-848":     {options: []eventflow.SubscriberOption{kafka.KeyLanes, kafka.ServerSideBalancer(killSession)}, attempts: 1000},
	"share":       {options: []eventflow.SubscriberOption{kafka.ShareGroup}, unordered: true, attempts: 5},
}

// victim is what a process that may be killed is told, as JSON in its environment.
type victim struct {
	Seeds                          []string
	Protocol, Topic, Results, Name string
}

const victimOf = "EVENTFLOW_KAFKA_TEST_VICTIM"

// TestVictim is a process of the tests below: a runner that answers each event with its text and the process's name, until
// it is killed, or ends cleanly at SIGTERM.
func TestVictim(t *testing.T) { //nolint:paralleltest // a process of its own
	var v victim
	if text := os.Getenv(victimOf); text == "" {
		t.Skip("it is started by other tests")
	} else {
		require.NoError(t, json.Unmarshal([]byte(text), &v))
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	say("ready")
	p := protocols[v.Protocol]
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b := open(t, kafka.Config{Seeds: v.Seeds, Logger: log, Client: append([]kgo.Opt{
		kgo.SessionTimeout(killSession), kgo.HeartbeatInterval(killSession / 12), kgo.RebalanceTimeout(15 * time.Second),
	}, p.client...)})
	s, err := b.OpenSubscriber(v.Topic, append([]eventflow.SubscriberOption{eventflow.Group(v.Topic)}, p.options...)...)
	require.NoError(t, err)
	results, err := b.OpenPublisher(v.Results)
	require.NoError(t, err)
	r, err := runner.New(eventflow.NewFlow("answer", func(_ context.Context, text string) (string, error) {
		time.Sleep(rand.N(12 * time.Millisecond)) // so that a kill finds runs under way
		return text + " " + v.Name, nil
	}), runner.On(s), runner.PublishTo(results), runner.MaxRuns(8), runner.MaxInFlight(killInFlight), runner.MaxAttempts(p.attempts),
		runner.Logger(log), runner.Grace(15*time.Second), runner.HardStop(2*time.Second))
	require.NoError(t, err)
	require.NoError(t, r.Listen(ctx))
}

// process is a victim that was started.
type process struct {
	victim
	cmd    *exec.Cmd
	said   speech
	killed bool
}

// speech is what a process says; ready is closed at the first of it. It is read once the process has ended.
type speech struct {
	text  []byte
	ready chan struct{}
}

func (s *speech) Write(b []byte) (int, error) {
	if len(s.text) == 0 {
		close(s.ready)
	}
	s.text = append(s.text, b...)
	return len(b), nil
}

// massacre is one run of the kill test, of one protocol.
type massacre struct {
	t     *testing.T
	like  victim
	live  []*process
	all   map[string]*process
	rnd   *rand.Rand
	read  chan answer // what was answered, as it is read
	reads context.Context
}

func newMassacre(t *testing.T, seeds []string, protocol string) *massacre {
	t.Helper()
	like := victim{Seeds: seeds, Protocol: protocol, Topic: apacheTopic(t, seeds, killPartitions), Results: apacheTopic(t, seeds, killPartitions)}
	if protocols[protocol].unordered {
		cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
		require.NoError(t, err)
		defer cl.Close()
		shareConfigs(t, cl, like.Topic, killSession)
	}
	return &massacre{t: t, all: map[string]*process{}, read: make(chan answer, 1024), rnd: rand.New(rand.NewPCG(rand.Uint64(), 0)), like: like}
}

func (m *massacre) join() {
	m.t.Helper()
	p := &process{victim: m.like, said: speech{ready: make(chan struct{})}}
	p.Name = "process-" + strconv.Itoa(len(m.all)+1)
	text, err := json.Marshal(p.victim)
	require.NoError(m.t, err)
	p.cmd = exec.CommandContext(m.t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.timeout=1h") // should it outlive us
	p.cmd.Env = append(os.Environ(), victimOf+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	require.NoError(m.t, p.cmd.Start())
	m.live = append(m.live, p)
	m.all[p.Name] = p
}

// end ends one of those that live, by a signal, and waits for that.
func (m *massacre) end(s syscall.Signal) {
	m.t.Helper()
	i := m.rnd.IntN(len(m.live))
	p := m.live[i]
	m.live = append(m.live[:i], m.live[i+1:]...)
	p.killed = s == syscall.SIGKILL
	if !p.killed { // before that it would die of it
		select {
		case <-p.said.ready:
		case <-time.After(killPatience):
			m.failf("%s says nothing", p.Name)
		}
	}
	require.NoError(m.t, p.cmd.Process.Signal(s))
	if err := p.cmd.Wait(); err != nil && !p.killed {
		m.failf("%s, which was not killed: %v", p.Name, err)
	}
}

// An answer is a result as it was read: to which of its key's events, by whom, under which ID, and where it is written.
type answer struct {
	key      string
	n        int
	name, id string
	offset   int64
	at       time.Time
}

// answers reads the results until the context of the reads ends.
func (m *massacre) answers() {
	defer close(m.read)
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.like.Seeds...), kgo.ConsumeTopics(m.like.Results))
	if err != nil {
		return
	}
	defer cl.Close()
	for m.reads.Err() == nil {
		cl.PollFetches(m.reads).EachRecord(func(r *kgo.Record) {
			a := answer{id: headerOf(r, "ce_id"), offset: r.Offset, at: r.Timestamp}
			_, _ = fmt.Sscan(string(r.Value), &a.key, &a.n, &a.name)
			select {
			case m.read <- a:
			case <-m.reads.Done():
			}
		})
	}
}

// feed publishes n events, each second so many at once that those which are killed then have their hands full, and gives how
// many are written after each.
func (m *massacre) feed(n int, progress chan<- int) {
	defer close(progress)
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.like.Seeds...), kgo.DefaultProduceTopic(m.like.Topic))
	if err != nil {
		return
	}
	defer cl.Close()
	pace := time.NewTicker(time.Second)
	defer pace.Stop()
	for i := 0; i < n; {
		var rs []*kgo.Record
		for ; len(rs) < killRate && i < n; i++ {
			key := "key-" + strconv.Itoa(i%killKeys)
			rs = append(rs, &kgo.Record{Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", key, i/killKeys)})
		}
		if err := cl.ProduceSync(m.t.Context(), rs...).FirstErr(); err != nil {
			m.t.Errorf("produce: %v", err)
			return
		}
		progress <- i
		<-pace.C
	}
}

// results is what the checker knows, from the results alone.
type results struct {
	unordered bool

	count    int
	last     map[string]int            // of each key, the event that was answered last
	by       map[string]map[int]answer // of each key and event, the last answer
	repeated map[string]int            // of each process, its answers that another answer repeats
	faults   []func() string           // told when all is read
	log      map[string][]answer       // of each key, all answers
}

func (c *results) faultf(a answer, format string, args ...any) {
	c.faults = append(c.faults, func() string { return fmt.Sprintf(format, args...) + c.story(a) })
}

// story is what was answered of a key around one of its events.
func (c *results) story(about answer) string {
	const near = 6
	var b strings.Builder
	for _, a := range c.log[about.key] {
		if max(a.n-about.n, about.n-a.n) < near {
			fmt.Fprintf(&b, "\n  at %d, %s: %s %d by %s", a.offset, a.at.Format(time.StampMilli), a.key, a.n, a.name)
		}
	}
	return b.String()
}

func (c *results) add(a answer) {
	c.log[a.key] = append(c.log[a.key], a)
	if c.by[a.key] == nil {
		c.by[a.key], c.last[a.key] = map[int]answer{}, -1
	}
	if before := c.last[a.key]; a.n > before+1 && !c.unordered {
		c.faultf(a, "%s: %s answered %d after %d", a.key, a.name, a.n, before)
	}
	c.last[a.key] = a.n
	first, again := c.by[a.key][a.n]
	if !again {
		c.count++
	} else {
		c.repeated[first.name]++
		if first.id != a.id {
			c.faultf(a, "%s %d has results of two IDs: %s and %s", a.key, a.n, first.id, a.id)
		}
	}
	c.by[a.key][a.n] = a
}

// amount is a number of the environment: EVENTFLOW_KILLS and EVENTFLOW_EVENTS are for all protocols together.
func amount(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Members are killed, leave and join while events flow. What is checked are the records: each event has its result, under
// one ID; the results of a key are in its order, where the protocol has one, but for what a process had in its hands when it
// was killed, which runs again.
func TestApacheProcessesThatAreKilledLoseNothing(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	kills := (amount("EVENTFLOW_KILLS", 6) + len(protocols) - 1) / len(protocols)
	events := max(amount("EVENTFLOW_EVENTS", 6000)/len(protocols), killKeys)
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMassacre(t, seeds, name)
			m.run(2*kills, events, func(round int) { // every other one leaves in peace
				m.end([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[round%2])
				m.join()
			})
		})
	}
}

// run lets events flow and strikes so often meanwhile, evenly; it ends when every event has its result.
func (m *massacre) run(rounds, events int, strike func(round int)) {
	t := m.t
	var all sync.WaitGroup
	defer all.Wait()
	reads, enough := context.WithCancel(t.Context())
	defer enough()
	m.reads = reads
	all.Go(m.answers)
	for range killMembers {
		m.join()
	}
	progress := make(chan int, events)
	all.Go(func() { m.feed(events, progress) })
	c := &results{unordered: protocols[m.like.Protocol].unordered, last: map[string]int{}, by: map[string]map[int]answer{}, repeated: map[string]int{}, log: map[string][]answer{}}
	written, round := 0, 0
	stuck := time.NewTimer(killPatience)
	defer stuck.Stop()
	for c.count < events {
		before := c.count
		select {
		case a := <-m.read:
			c.add(a)
		case n, more := <-progress:
			if !more {
				progress = nil
			}
			written = max(written, n)
		case <-stuck.C:
			m.failf("%d of %d events have no result, and none has come for %v", written-c.count, written, killPatience)
		}
		if c.count > before {
			stuck.Reset(killPatience)
		}
		if round < rounds && written >= (round+1)*events/(rounds+1) {
			round++
			strike(round)
		}
	}
	for len(m.live) > 0 {
		m.end(syscall.SIGTERM)
	}
	m.rest(c)
	for _, p := range m.all {
		most := killInFlight * bytes.Count(p.said.text, []byte("level=ERROR")) // who loses a lock says so
		if p.killed {
			most += killInFlight
		}
		if n := c.repeated[p.Name]; n > most {
			c.faultf(answer{}, "%d answers of %s (killed: %t) were repeated, want at most %d", n, p.Name, p.killed, most)
		}
	}
	if len(c.faults) > 0 {
		var told []string
		for _, f := range c.faults[:min(len(c.faults), 10)] {
			told = append(told, f())
		}
		m.failf("%s", strings.Join(told, "\n"))
	}
	require.Zero(t, m.written(m.like.Topic+".dlq"), "dead letters")
	t.Logf("%d events, %d processes, repeated: %v", events, len(m.all), c.repeated)
}

// rest reads what was written until now.
func (m *massacre) rest(c *results) {
	m.t.Helper()
	want := m.written(m.like.Results)
	n := c.count
	for _, k := range c.repeated {
		n += k
	}
	late := time.NewTimer(killPatience)
	defer late.Stop()
	for ; int64(n) < want; n++ {
		select {
		case a := <-m.read:
			c.add(a)
		case <-late.C:
			m.failf("%d of %d results were read", n, want)
		}
	}
}

// written is how many records a topic has.
func (m *massacre) written(topic string) (n int64) {
	m.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.like.Seeds...))
	require.NoError(m.t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(m.t.Context(), topic)
	require.NoError(m.t, err)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// failf says what the processes said as well.
func (m *massacre) failf(format string, args ...any) {
	m.t.Helper()
	for _, p := range m.live {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
	for name, p := range m.all {
		m.t.Logf("%s (killed: %t): %s", name, p.killed, p.said.text[:min(len(p.said.text), 3000)])
	}
	m.t.Fatalf(format, args...)
}
