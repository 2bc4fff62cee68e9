package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := kafka.New(kafka.Config{
		Seeds: []string{"good:9092", "https://user:secret@bad", "host:port", "user:secret:host"}, ClientID: strings.Repeat("x", 300), MaxEventBytes: 1,
		SASL: kafka.Plain("", "secret"), Client: []kgo.Opt{kgo.ConsumerGroup("g"), kgo.DisableIdempotentWrite(), nil},
	})
	var ce *eventflow.ConfigError
	require.ErrorAs(t, err, &ce)
	for _, want := range []string{
		"number 2 (not shown)", `"host:port" is not allowed: host:port, without scheme`, `"number 4 (not shown)"`, "kafka.Config.ClientID", "kafka.Config.MaxEventBytes",
		"PLAIN without TLS", "kafka.Plain user", "kgo.ConsumerGroup", "eventflow.Group", "kgo.DisableIdempotentWrite", `kafka.Config.Client: "nil"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "secret")
	_, err = kafka.New(kafka.Config{})
	require.ErrorContains(t, err, "kafka.Config.Seeds")
}

func TestSecretsAreNotSentInTheClear(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return "secret", nil }
	foreign := plain.Auth{User: "u", Pass: "secret"}.AsMechanism()
	for _, m := range []sasl.Mechanism{kafka.Plain("u", "secret"), kafka.OAuthBearer(token), foreign} {
		_, err := kafka.New(kafka.Config{Seeds: []string{"h"}, SASL: m})
		require.ErrorContains(t, err, "InsecurePlaintext")
		require.NotContains(t, err.Error(), "secret")
		open(t, kafka.Config{Seeds: []string{"h"}, SASL: m, TLS: &tls.Config{}})
		open(t, kafka.Config{Seeds: []string{"h"}, SASL: m, InsecurePlaintext: true})
	}
	open(t, kafka.Config{Seeds: []string{"h"}, SASL: kafka.ScramSHA256("u", "secret")})
	_, err := kafka.New(kafka.Config{Seeds: []string{"h"}, SASL: kafka.OAuthBearer(nil), TLS: &tls.Config{}})
	require.ErrorContains(t, err, "kafka.OAuthBearer")
	_, err = kafka.New(kafka.Config{Seeds: []string{"h"}, SASL: kafka.MSKIAM(nil)})
	require.ErrorContains(t, err, "kafka.MSKIAM")
}

func TestSeedsOfAnyForm(t *testing.T) {
	t.Parallel()
	for seed, want := range map[string]string{
		"host": "host:9092", "host:1": "host:1", "10.0.0.1": "10.0.0.1:9092", "::1": "[::1]:9092", "[::1]": "[::1]:9092", "[::1]:7": "[::1]:7",
	} {
		b := open(t, kafka.Config{Seeds: []string{seed}})
		require.Equal(t, []string{want}, kafka.Seeds(b), seed)
	}
	for _, seed := range []string{"", ":9092", "h:0", "h:99999", "kafka://h:9092", "u:p@h:9092", "h 1", "[::1", "a,b"} {
		_, err := kafka.New(kafka.Config{Seeds: []string{seed}})
		require.Error(t, err, seed)
	}
}

// Those that the table refuses and that can be made without further ado; the name is found in the compiled closure.
func TestOptionsThatBreakAPromiseAreRefusedByName(t *testing.T) {
	t.Parallel()
	opts := map[string]kgo.Opt{
		"SeedBrokers": kgo.SeedBrokers("h"), "ClientID": kgo.ClientID("c"), "DialTLSConfig": kgo.DialTLS(), "SASL": kgo.SASL(),
		"WithLogger": kgo.WithLogger(nil), "WithContext": kgo.WithContext(t.Context()), "WithPools": kgo.WithPools(), "BrokerMaxWriteBytes": kgo.BrokerMaxWriteBytes(1),
		"MaxProduceRequestsInflightPerBroker": kgo.MaxProduceRequestsInflightPerBroker(1), "DisableFetchCRCValidation": kgo.DisableFetchCRCValidation(),
		"ProducerBatchMaxBytesFn": kgo.ProducerBatchMaxBytes(1), "RequiredAcks": kgo.RequiredAcks(kgo.NoAck()),
		"DisableIdempotentWrite": kgo.DisableIdempotentWrite(), "AllowIdempotentProduceCancellation": kgo.AllowIdempotentProduceCancellation(),
		"DefaultProduceTopic": kgo.DefaultProduceTopic("t"), "DefaultProduceTopicAlways": kgo.DefaultProduceTopicAlways(), "ManualFlushing": kgo.ManualFlushing(),
		"TransactionalID": kgo.TransactionalID("t"), "TransactionTimeout": kgo.TransactionTimeout(1), "ConsumerGroup": kgo.ConsumerGroup("g"), "ShareGroup": kgo.ShareGroup("g"),
		"ConsumeTopics": kgo.ConsumeTopics("t"), "ConsumePartitions": kgo.ConsumePartitions(nil), "ConsumeRegex": kgo.ConsumeRegex(), "ConsumeExcludeTopics": kgo.ConsumeExcludeTopics(),
		"ConsumeStartOffset": kgo.ConsumeStartOffset(kgo.NewOffset()), "ConsumeResetOffset": kgo.ConsumeResetOffset(kgo.NewOffset()),
		"KeepControlRecords": kgo.KeepControlRecords(), "KeepRetryableFetchErrors": kgo.KeepRetryableFetchErrors(), "DisableAutoCommit": kgo.DisableAutoCommit(),
		"GreedyAutoCommit": kgo.GreedyAutoCommit(), "AutoCommitInterval": kgo.AutoCommitInterval(1), "AutoCommitMarks": kgo.AutoCommitMarks(), "AutoCommitCallback": kgo.AutoCommitCallback(nil),
		"AdjustFetchOffsetsFn": kgo.AdjustFetchOffsetsFn(nil), "OnPartitionsAssigned": kgo.OnPartitionsAssigned(nil), "OnPartitionsRevoked": kgo.OnPartitionsRevoked(nil),
		"OnPartitionsLost": kgo.OnPartitionsLost(nil), "OnPartitionsCallbackBlocked": kgo.OnPartitionsCallbackBlocked(nil), "OnOffsetsFetched": kgo.OnOffsetsFetched(nil),
		"BlockRebalanceOnPoll": kgo.BlockRebalanceOnPoll(), "GroupProtocol": kgo.GroupProtocol("p"), "ShareAckCallback": kgo.ShareAckCallback(nil),
		"ShareMaxRecords": kgo.ShareMaxRecords(1), "ShareMaxRecordsStrict": kgo.ShareMaxRecordsStrict(),
	}
	for name, instead := range kafka.Refused {
		require.Contains(t, opts, name, "the test does not know it")
		_, err := kafka.New(kafka.Config{Seeds: []string{"h"}, Client: []kgo.Opt{opts[name]}})
		require.ErrorContains(t, err, `"kgo.`+name+`" is not allowed: `+instead)
	}
	require.Len(t, opts, len(kafka.Refused))
}

func TestOtherClientOptionsPassThrough(t *testing.T) {
	t.Parallel()
	open(t, kafka.Config{Seeds: []string{"h"}, Client: []kgo.Opt{
		kgo.DialTimeout(time.Second), kgo.Rack("a"), kgo.SessionTimeout(10 * time.Second), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.AllowAutoTopicCreation(),
	}})
	_, err := kafka.New(kafka.Config{Seeds: []string{"h"}, Client: []kgo.Opt{kgo.MetadataMinAge(time.Hour), kgo.MetadataMaxAge(time.Minute)}})
	require.ErrorContains(t, err, "the options of the client together")
}

func TestBadCertificatesAreRefusedUnshown(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	for _, pems := range [][3][]byte{
		{[]byte("secret"), nil, nil}, {pki.ca, pki.cert, nil}, {pki.ca, nil, pki.key}, {pki.ca, pki.cert, []byte("secret")}, {nil, pki.key, pki.cert},
	} {
		_, err := kafka.TLS(pems[0], pems[1], pems[2])
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce)
		require.NotContains(t, err.Error(), "secret")
	}
	c, err := kafka.TLS(nil, nil, nil)
	require.NoError(t, err)
	require.Nil(t, c.RootCAs, "the system's")
}

func TestOpeningNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Seeds: []string{"h"}})
	_, err := b.OpenPublisher("no topic", nil)
	require.ErrorContains(t, err, "a-z")
	require.ErrorContains(t, err, "a PublisherOption")
	_, err = b.OpenSubscriber("", nil, kafka.DeadLetterTopic("no topic"))
	require.ErrorContains(t, err, "a SubscriberOption")
	require.ErrorContains(t, err, "eventflow.Group")
	require.ErrorContains(t, err, "kafka.DeadLetterTopic")
	_, err = b.OpenSubscriber(strings.Repeat("t", 248), eventflow.Group("g"))
	require.ErrorContains(t, err, "kafka.DeadLetterTopic", "the default has no room for .dlq")
	mem := broker.NewMemory()
	_, err = mem.OpenPublisher("t", kafka.Structured())
	require.ErrorContains(t, err, "kafka.Structured")
	_, err = mem.OpenSubscriber("t", kafka.NoDeadLetters())
	require.ErrorContains(t, err, "kafka.NoDeadLetters")
}

func openURL(t *testing.T, url string) (*kafka.Broker, error) {
	t.Helper()
	b, err := broker.Open(t.Context(), url, kafka.Scheme)
	if err != nil {
		return nil, err
	}
	k, ok := eventflow.As[*kafka.Broker](b)
	require.True(t, ok)
	t.Cleanup(func() { require.NoError(t, k.Close(context.WithoutCancel(t.Context()))) })
	return k, nil
}

func TestURLNamesTheCluster(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][]string{
		"kafka://a":                                 {"a:9092"},
		"kafka://a,b:7/":                            {"a:7", "b:7"},
		"kafka://a:1?seed=b:2&seed=c":               {"a:1", "b:2", "c:9092"},
		"kafka://[::1]:5":                           {"[::1]:5"},
		"kafka://?seed=x:3":                         {"x:3"},
		"KAFKA://a?clientid=me&maxeventbytes=40000": {"a:9092"},
	} {
		b, err := openURL(t, url)
		require.NoError(t, err, url)
		require.Equal(t, want, kafka.Seeds(b), url)
	}
}

func TestURLWithALogin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pki := newPKI(t)
	for name, text := range map[string][]byte{"ca": pki.ca, "cert": pki.cert, "key": pki.key} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	for _, query := range []string{
		"tls=true", "tls=true&sasl=plain", "sasl=scram-sha-256", "sasl=scram-sha-512", "ca=" + dir + "/ca", "ca=" + dir + "/ca&cert=" + dir + "/cert&key=" + dir + "/key",
		"insecureplaintext=true",
	} {
		_, err := openURL(t, "kafka://user:p%40ss@a?"+query)
		require.NoError(t, err, query)
	}
}

func TestURLSaysWhatIsWrongAndNoSecret(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"kafka://":                        "kafka.Config.Seeds",
		"kafka://a/topic":                 "a topic is named when it is opened",
		"kafka://a#f":                     "a topic is named when it is opened",
		"kafka:a":                         "a topic is named when it is opened",
		"kafka://u:secret@a":              "PLAIN without TLS",
		"kafka://u@a?tls=true":            "kafka.Plain password",
		"kafka://a?sasl=plain":            "a user and a password beside it",
		"kafka://u:secret@a?sasl=magic":   "scram-sha-256 or scram-sha-512",
		"kafka://a?tls=perhaps":           "true or false",
		"kafka://a?maxeventbytes=many":    "a whole number",
		"kafka://a?maxeventbytes=1":       "kafka.Config.MaxEventBytes",
		"kafka://a?tls=true&tls=true":     "one value",
		"kafka://a?ca=/does/not/exist":    "a file that can be read",
		"kafka://a?password=secret":       "ca, cert, clientid",
		"kafka://a?seed=u:secret@b":       "not shown",
		"kafka://a?x=%zz&password=secret": "name=value",
	} {
		_, err := openURL(t, url)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce, url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "secret", url)
	}
}

func TestErrorsOfTheClientAreExplainedOnce(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Seeds: []string{"h:1"}})
	err := kafka.Explain(b, "receive", "t", errors.New("odd"), true)
	require.EqualError(t, err, "kafka: receive t at h:1: odd")
	require.NotErrorIs(t, err, eventflow.ErrFatal, "what is not known may go away")
	require.Equal(t, err, kafka.Explain(b, "start", "u", err, true))
	require.NoError(t, kafka.Explain(b, "start", "t", nil, true))
	require.Equal(t, context.Canceled, kafka.Explain(b, "start", "t", context.Canceled, true))
	require.ErrorIs(t, kafka.Explain(b, "start", "t", kgo.ErrClientClosed, true), eventflow.ErrClosed)
	require.NotErrorIs(t, kafka.Explain(b, "start", "t", kgo.ErrClientClosed, true), eventflow.ErrFatal)
}

func TestMistakesOfAnOpenedTopicAreTheRunnersToTell(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Seeds: []string{"127.0.0.1:1"}, Logger: quietLog})
	sub, pub := b.Subscriber("two words"), b.Publisher("a/b")
	_, err := runner.New(eventflow.NewFlow("f", func(context.Context, string) (string, error) { return "", nil }),
		runner.On(sub), runner.PublishTo(pub))
	for _, said := range []string{"two words", "eventflow.Group", "a/b"} {
		require.ErrorContains(t, err, said)
	}
	require.ErrorContains(t, pub.Publish(t.Context(), eventflow.Event{}), "a/b")
	_, err = sub.Next(t.Context(), eventflow.Want{Events: 1})
	require.ErrorContains(t, err, "two words")
	require.NoError(t, sub.Close(t.Context()))
}
