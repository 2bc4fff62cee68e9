package kafka_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

func TestTheTableOfModesIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	doc := strings.ReplaceAll(string(text), "\n// ", " ")
	row := func(name string, has func(f eventflow.Features) bool) {
		t.Helper()
		var which []string
		all := []kafka.Mode{kafka.PartitionLanes, kafka.KeyLanes, kafka.Unordered, kafka.ShareGroup}
		for i, mode := range []string{"PartitionLanes", "KeyLanes", "Unordered", "ShareGroup"} {
			if has(all[i].Features()) {
				which = append(which, mode)
			}
		}
		cell := strings.Join(which, ", ")
		if len(which) == len(all) {
			cell = "all"
		}
		require.Regexp(t, `(?m)^//\t`+name+` +`+cell, string(text))
	}
	row("Lanes", func(f eventflow.Features) bool { return f.Lanes })
	row("Groups", func(f eventflow.Features) bool { return f.Groups })
	row("ExactAttempt", func(f eventflow.Features) bool { return f.ExactAttempt })
	row("DeadLetter", func(f eventflow.Features) bool { return f.DeadLetter })
	row("MaxNack", func(f eventflow.Features) bool { return f.MaxNack == 24*time.Hour })
	for _, names := range []map[string]string{excused, runnerExcused, shareExcused, shareRunnerExcused} {
		for name := range names {
			if name != "ReplicasRunEachFireOnce" { // asked by another rule
				require.Contains(t, doc, name, "an excuse that the documentation does not name")
			}
		}
	}
	b := open(t, kafka.Config{Seeds: []string{"localhost"}, Logger: quietLog})
	require.Equal(t, 45*time.Second, b.Features().MaxLock, "the client's default")
	b = open(t, kafka.Config{Seeds: []string{"localhost"}, Logger: quietLog, Client: worldClient()})
	require.Equal(t, worldSession, b.Features().MaxLock)
}

func TestModesOfNoKindAreRefused(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Seeds: []string{"localhost"}, Logger: quietLog})
	for field, o := range map[string]eventflow.SubscriberOption{
		"kafka.Mode": kafka.Mode(99), "kafka.OnGap": kafka.OnGap(99), "kafka.ServerSideBalancer": kafka.ServerSideBalancer(0),
		"kafka.StaticMember": kafka.StaticMember(""),
	} {
		_, err := b.OpenSubscriber("one", eventflow.Group("g"), o)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, field, ce.Field)
	}
}
