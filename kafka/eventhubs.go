package kafka

import (
	"crypto/tls"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// EventHubs opens an Azure Event Hubs namespace, which speaks Kafka's protocol on its standard tier and above, with a
// connection string: "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…". Event
// hubs are topics and their consumer groups are groups. Seeds and SASL of c must be empty; TLS is always spoken and
// may be given for a proxy's CA. Nothing is compressed, as the service wants it on most tiers.
//
// An event hub takes records of 1 MB, headers included, on the standard tier; MaxEventBytes is 1,000,000 by default. Its
// dead-letter topic is an event hub that must be made beforehand. What the service does not have (share groups, the
// consumer protocol of KIP-848, SCRAM) fails at start.
func EventHubs(connectionString string, c Config) (*Broker, error) {
	host, err := eventHubsHost(connectionString)
	if err != nil {
		return nil, err
	}
	switch {
	case len(c.Seeds) > 0:
		return nil, &eventflow.ConfigError{Field: "kafka.EventHubs Config.Seeds", Value: strings.Join(c.Seeds, ","), Allowed: "none: the connection string names the namespace"}
	case c.SASL != nil:
		return nil, &eventflow.ConfigError{Field: "kafka.EventHubs Config.SASL", Value: c.SASL.Name(), Allowed: "none: the connection string is the password"}
	}
	c.Seeds = []string{host + ":9093"}
	c.SASL = Plain("$ConnectionString", connectionString)
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// The service refuses compressed batches on most tiers; an option of the caller's comes after and wins.
	c.Client = append([]kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, c.Client...)
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = 1_000_000
	}
	return New(c)
}

// eventHubsHost reads the namespace's host of a connection string. Its error shows nothing of it: it is a secret.
func eventHubsHost(connectionString string) (string, error) {
	bad := &eventflow.ConfigError{
		Field: "kafka.EventHubs connection string", Value: "(not shown)",
		Allowed: "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…",
	}
	var host string
	var name, key bool
	for part := range strings.SplitSeq(strings.TrimSpace(connectionString), ";") {
		field, value, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(field)) {
		case "endpoint":
			endpoint, ok := strings.CutPrefix(value, "sb://")
			if !ok {
				return "", bad
			}
			host = strings.TrimSuffix(endpoint, "/")
		case "sharedaccesskeyname":
			name = value != ""
		case "sharedaccesskey":
			key = value != ""
		case "sharedaccesssignature":
			name, key = value != "", value != ""
		}
	}
	if !name || !key || host == "" || strings.ContainsAny(host, "/:@") {
		return "", bad
	}
	return host, nil
}
