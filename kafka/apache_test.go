package kafka_test

import (
	"crypto/tls"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// apache gives the brokers of a real cluster by the name of a variable that scripts/with-servers kafka sets.
func apache(t testing.TB, variable string) []string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		if slices.Contains(strings.Fields(os.Getenv("EVENTFLOW_REQUIRE_SERVERS")), "kafka") {
			t.Fatalf("%s is not set, and EVENTFLOW_REQUIRE_SERVERS asks for Kafka", variable)
		}
		t.Skip(variable + " is not set: scripts/with-servers kafka -- go test ./kafka/...")
	}
	return strings.Split(v, ",")
}

// apacheTopic makes a topic and its dead-letter topic with names of their own.
func apacheTopic(t testing.TB, seeds []string, partitions int32) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	topic := "eventflow-" + kafka.NewID()
	makeTopics(t, adm, partitions, topic)
	return topic
}

func TestApacheRefusalsAreTyped(t *testing.T) {
	t.Parallel()
	topic := apacheTopic(t, apache(t, "EVENTFLOW_KAFKA"), 1)
	plain, secure := apache(t, "EVENTFLOW_KAFKA_SASL"), apache(t, "EVENTFLOW_KAFKA_TLS")
	user, guest, password := os.Getenv("EVENTFLOW_KAFKA_USER"), os.Getenv("EVENTFLOW_KAFKA_GUEST"), os.Getenv("EVENTFLOW_KAFKA_PASSWORD")
	ca, err := os.ReadFile(os.Getenv("EVENTFLOW_KAFKA_CA"))
	require.NoError(t, err)
	trusted, err := kafka.TLS(ca, nil, nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		seeds  []string
		sasl   sasl.Mechanism
		tls    *tls.Config
		topic  string
		reason error // nil: goes on
	}{
		"PLAIN":                         {seeds: plain, sasl: kafka.Plain(user, password), topic: topic},
		"SCRAM-SHA-256":                 {seeds: plain, sasl: kafka.ScramSHA256(user, password), topic: topic},
		"SCRAM-SHA-512 over TLS":        {seeds: secure, sasl: kafka.ScramSHA512(user, password), tls: trusted, topic: topic},
		"wrong PLAIN password":          {seeds: plain, sasl: kafka.Plain(user, "wrong-1"), topic: topic, reason: kafka.ErrCredentials},
		"wrong SCRAM-SHA-256 password":  {seeds: plain, sasl: kafka.ScramSHA256(user, "wrong-1"), topic: topic, reason: kafka.ErrCredentials},
		"wrong SCRAM-SHA-512 password":  {seeds: secure, sasl: kafka.ScramSHA512(user, "wrong-1"), tls: trusted, topic: topic, reason: kafka.ErrCredentials},
		"mechanism that is not offered": {seeds: plain, sasl: kafka.MSKIAM(noCredentials), topic: topic, reason: kafka.ErrCredentials},
		"no right":                      {seeds: plain, sasl: kafka.Plain(guest, password), topic: topic, reason: kafka.ErrNotAuthorised},
		"no topic":                      {seeds: plain, sasl: kafka.Plain(user, password), topic: "nowhere", reason: eventflow.ErrNoTopic},
		"no login":                      {seeds: plain, topic: topic, reason: kafka.ErrTLS},
		"TLS to a listener without":     {seeds: plain, sasl: kafka.Plain(user, password), tls: trusted, topic: topic, reason: kafka.ErrTLS},
		"no TLS to a listener with":     {seeds: secure, sasl: kafka.ScramSHA512(user, password), topic: topic, reason: kafka.ErrTLS},
		"TLS with another CA":           {seeds: secure, sasl: kafka.Plain(user, password), tls: &tls.Config{}, topic: topic, reason: kafka.ErrTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, kafka.Config{Seeds: c.seeds, SASL: c.sasl, TLS: c.tls, InsecurePlaintext: true, Logger: quiet})
			err := check(t, b, c.topic, "")
			p := publisher(t, b, c.topic)
			if c.reason == nil {
				require.NoError(t, err)
				require.NoError(t, p.Publish(t.Context(), eventflow.Event{Data: []byte("v")}))
				return
			}
			startError(t, err, c.reason, b, c.topic, "(")
			require.NotContains(t, err.Error(), password)
			require.NotContains(t, err.Error(), "wrong-1")
			err = p.Publish(t.Context(), eventflow.Event{})
			require.ErrorIs(t, err, c.reason)
			require.NotErrorIs(t, err, eventflow.ErrFatal)
		})
	}
}

func TestApacheTakesWhatWePublish(t *testing.T) {
	t.Parallel()
	topic := apacheTopic(t, apache(t, "EVENTFLOW_KAFKA"), 1)
	b := open(t, kafka.Config{Seeds: apache(t, "EVENTFLOW_KAFKA"), Logger: quiet})
	p := publisher(t, b, topic)
	evs := []eventflow.Event{
		{ID: "1", Source: "/s", Type: "t", Key: "k", Data: noise(b.Features().MaxEvent)},
		{ID: "2", Source: "/s", Type: "t", Data: nil, Attributes: eventflow.Attributes{{Name: "raw", Value: []byte{0xff}}}},
		{ID: "3", Source: "/s", Type: "t", Data: []byte{}},
	}
	require.NoError(t, p.Publish(t.Context(), evs...))
	c := &cluster{t: t}
	rs := c.recordsAt(b, topic, len(evs))
	for i, r := range rs {
		ev := kafka.Event("c", topicID, r)
		require.Equal(t, evs[i].ID, ev.ID)
		require.Equal(t, evs[i].Data, ev.Data)
		require.Equal(t, evs[i].Attributes, ev.Attributes)
	}
	require.ErrorIs(t, p.Publish(t.Context(), eventflow.Event{Data: make([]byte, 2<<20)}), eventflow.ErrTooLarge)

	require.NoError(t, kafka.DeadLetter(t.Context(), b, rs[1], topic+".dlq", eventflow.Failure{Reason: "permanent"}))
	dead := c.recordsAt(b, topic+".dlq", 1)[0]
	require.Contains(t, pairs(dead), [2]string{"eventflow-reason", "permanent"})

	topics, err := b.Topics(t.Context())
	require.NoError(t, err)
	require.Contains(t, topics, topic)
	lag, err := b.Lag(t.Context(), topic, "never")
	for err != nil && t.Context().Err() == nil { // a new cluster makes the topic of its groups at the first question
		time.Sleep(100 * time.Millisecond)
		lag, err = b.Lag(t.Context(), topic, "never")
	}
	require.Equal(t, []kafka.PartitionLag{{Partition: kafka.Partition{End: 3}, Committed: -1, Lag: 3}}, lag)
}
