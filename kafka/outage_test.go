package kafka_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clusterUnderFire is a real cluster of three brokers whose brokers are killed and stopped.
type clusterUnderFire struct {
	t    *testing.T
	adm  *kadm.Client
	node string // the program that does it
}

func (c *clusterUnderFire) do(node int32, what string) {
	c.t.Helper()
	out, err := exec.CommandContext(c.t.Context(), c.node, strconv.Itoa(int(node)), what).CombinedOutput()
	require.NoError(c.t, err, "%s", out)
}

// ask asks the cluster until it answers: a broker may be away.
func (c *clusterUnderFire) ask(what string, question func(ctx context.Context) error) {
	c.t.Helper()
	var err error
	for range 60 {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		err = question(ctx)
		cancel()
		if err == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	c.t.Fatalf("%s: %v", what, err)
}

// leader is the broker that leads partition 0 of a topic.
func (c *clusterUnderFire) leader(topic string) (node int32) {
	c.t.Helper()
	c.ask("leader", func(ctx context.Context) error {
		ts, err := c.adm.ListTopics(ctx, topic)
		if err == nil {
			err = ts[topic].Err
		}
		if err == nil {
			node = ts[topic].Partitions[0].Leader
			err = ts[topic].Partitions[0].Err
		}
		return err
	})
	return node
}

// coordinator is the broker that coordinates a group.
func (c *clusterUnderFire) coordinator(group string) (node int32) {
	c.t.Helper()
	c.ask("coordinator", func(ctx context.Context) error {
		f := c.adm.FindGroupCoordinators(ctx, group)[group]
		node = f.NodeID
		return f.Err
	})
	return node
}

// move takes every partition of a topic from one of its brokers and gives it another leader.
func (c *clusterUnderFire) move(topic string) {
	c.t.Helper()
	c.ask("move", func(ctx context.Context) error {
		ts, err := c.adm.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		var to kadm.AlterPartitionAssignmentsReq
		for n, p := range ts[topic].Partitions {
			rest := make([]int32, 0, 2)
			for _, r := range p.Replicas {
				if r != p.Leader {
					rest = append(rest, r)
				}
			}
			to.Assign(topic, n, rest[:min(2, len(rest))])
		}
		res, err := c.adm.AlterPartitionAssignments(ctx, to)
		if err == nil {
			err = res.Error()
		}
		return err
	})
}

// The leader is killed, the coordinator stopped, partitions move, and events flow all the time: none is lost, and nobody
// has to help.
func TestApacheClusterThatLosesBrokersLosesNoEvent(t *testing.T) { //nolint:paralleltest // there is one cluster to shoot at
	if os.Getenv("EVENTFLOW_KAFKA_CLUSTER") == "" && os.Getenv("EVENTFLOW_KAFKA") != "" {
		t.Skip("it wants three brokers: scripts/with-servers kafka-cluster -- go test -run Cluster ./kafka")
	}
	seeds := apache(t, "EVENTFLOW_KAFKA_CLUSTER")
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	events := max(amount("EVENTFLOW_EVENTS", 12000)/len(protocols), killKeys)
	for name := range protocols { //nolint:paralleltest // as above
		t.Run(name, func(t *testing.T) {
			c := &clusterUnderFire{t, kadm.NewClient(cl), os.Getenv("EVENTFLOW_KAFKA_CLUSTER_NODE")}
			m := newMassacre(t, seeds, name)
			m.run(4, events, func(round int) {
				switch round {
				case 1:
					n := c.leader(m.like.Topic)
					c.do(n, "kill")
					time.Sleep(time.Second)
					c.do(n, "start")
				case 2:
					c.move(m.like.Topic)
				case 3:
					n := c.coordinator(m.like.Topic)
					c.do(n, "stop")
					c.do(n, "start")
				case 4:
					c.move(m.like.Results)
				}
			})
		})
	}
}
