package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

const connectionString = "Endpoint=sb://127.0.0.1/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0=;EntityPath=orders"

func TestEventHubsLogsInWithItsConnectionString(t *testing.T) {
	t.Parallel()
	b, err := kafka.EventHubs(connectionString, kafka.Config{Logger: quiet})
	require.NoError(t, err)
	require.Equal(t, "\x00$ConnectionString\x00"+connectionString, kafka.Login(t.Context(), b))
	require.Equal(t, []kgo.CompressionCodec{kgo.NoCompression()}, kafka.OptValue(t, b, kgo.ProducerBatchCompression))
	require.Equal(t, []string{"127.0.0.1:9093"}, kafka.Seeds(b))
	require.Less(t, b.Features().MaxEvent, 1_000_000)
}

func TestEventHubsRefusesWithoutShowing(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "hello", "Endpoint=sb://h/;SharedAccessKeyName=all", "SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0=",
		"Endpoint=https://h/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0=", "Endpoint=sb://h:1/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0=",
	} {
		_, err := kafka.EventHubs(s, kafka.Config{})
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce, s)
		require.NotContains(t, err.Error(), "c2VjcmV0")
	}
	_, err := kafka.EventHubs(connectionString, kafka.Config{Seeds: []string{"h"}})
	require.ErrorContains(t, err, "Config.Seeds")
	_, err = kafka.EventHubs(connectionString, kafka.Config{SASL: kafka.Plain("u", "p")})
	require.ErrorContains(t, err, "Config.SASL")
}
