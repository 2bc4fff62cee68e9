package kafka_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

// storm is a group whose members come and go faster than its flows end.
type storm struct {
	t       *testing.T
	seeds   []string
	topic   string
	client  []kgo.Opt
	options []eventflow.SubscriberOption
	stable  func(ctx context.Context, consumers int) error
	flow    time.Duration // how long one takes

	mu      sync.Mutex // guards what follows
	running map[string]int
	done    map[string]int
	twice   []string
}

// member is a runner of the group.
type member struct {
	leave    context.CancelFunc
	returned chan error
}

func (s *storm) join() *member {
	s.t.Helper()
	b := open(s.t, kafka.Config{Seeds: s.seeds, Logger: quietLog, Client: s.client})
	sub, err := b.OpenSubscriber(s.topic, append([]eventflow.SubscriberOption{eventflow.Group("storm"), kafka.KeyLanes}, s.options...)...)
	require.NoError(s.t, err)
	r, err := runner.New(eventflow.NewSink("slow", s.run), runner.On(sub), runner.Logger(quietLog),
		runner.Grace(s.flow+s.flow/2), runner.HardStop(time.Second))
	require.NoError(s.t, err)
	ctx, leave := context.WithCancel(s.t.Context())
	m := &member{leave, make(chan error, 1)}
	go func() { m.returned <- r.Listen(ctx) }()
	<-r.Ready()
	return m
}

func (s *storm) run(ctx context.Context, id string) error {
	s.mu.Lock()
	if s.running[id]++; s.running[id] > 1 {
		s.twice = append(s.twice, id)
	}
	s.mu.Unlock()
	work := time.NewTimer(s.flow)
	defer work.Stop()
	var err error
	select {
	case <-work.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[id]--
	if err == nil {
		s.done[id]++
	}
	return err
}

// blow lets a member join or leave 30 times in the time given, and events flow meanwhile.
func (s *storm) blow(length time.Duration) {
	t := s.t
	s.running, s.done, s.flow = map[string]int{}, map[string]int{}, length/12
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.seeds...), kgo.DefaultProduceTopic(s.topic))
	require.NoError(t, err)
	defer cl.Close()
	members := []*member{s.join()}
	published := 0
	for i := range 30 {
		tick := time.After(length / 30)
		for range 4 {
			id := fmt.Sprint(published)
			require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Key: []byte("key-" + id), Value: []byte(id)}).FirstErr())
			published++
		}
		if n := len(members); n > 1 && i%3 == 2 {
			members[0].leave()
			require.NoError(t, <-members[0].returned)
			members = members[1:]
		} else {
			members = append(members, s.join())
		}
		if len(members) > 5 { // more than there are partitions
			members[1].leave()
			require.NoError(t, <-members[1].returned)
			members = append(members[:1], members[2:]...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), stormRebalance)
		require.NoError(t, s.stable(ctx, len(members)), "the group does not settle")
		cancel()
		<-tick
	}
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.done) == published
	}, length+time.Minute, 20*time.Millisecond, "an event is lost")
	for _, m := range members {
		m.leave()
	}
	for _, m := range members {
		require.NoError(t, <-m.returned)
	}
	require.Empty(t, s.twice, "a flow was run by two members at once")
}

const stormRebalance = 15 * time.Second

func stormClient() []kgo.Opt {
	return []kgo.Opt{kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(stormRebalance)}
}

// stormLength is EVENTFLOW_STORM, 12 seconds by default: flows take a twelfth of it, and every thirtieth a member comes or
// goes.
func stormLength() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("EVENTFLOW_STORM")); err == nil {
		return d
	}
	return 12 * time.Second
}

func TestRebalanceStormSettlesAndRunsNothingTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	require.NoError(t, w.CreateTopic("stormy", 4, nil))
	require.NoError(t, w.CreateTopic("stormy.dlq", 1, nil))
	s := &storm{t: t, seeds: w.ListenAddrs(), topic: "stormy", client: stormClient()}
	s.stable = func(ctx context.Context, n int) error { return stable(ctx, w.Cluster, "storm", n) }
	s.blow(stormLength())
}

func TestApacheRebalanceStormSettlesAndRunsNothingTwiceAtOnce(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for name, kip848 := range map[string]bool{"classic": false, "KIP-848": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := apacheTopic(t, apache(t, "EVENTFLOW_KAFKA"), 4)
			s := &storm{t: t, seeds: seeds, topic: topic, client: stormClient()}
			group := "storm-" + topic
			s.options = []eventflow.SubscriberOption{eventflow.Group(group)}
			if kip848 {
				s.options = append(s.options, kafka.ServerSideBalancer(killSession))
			}
			s.stable = func(ctx context.Context, n int) error {
				return stableOnApache(ctx, kadm.NewClient(cl), group, n, kip848)
			}
			s.blow(stormLength())
		})
	}
}
