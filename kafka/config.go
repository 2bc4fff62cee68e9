package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/eventflow-go/eventflow"
)

// Config says how to reach a cluster. Only Seeds is needed. [New] checks it.
type Config struct {
	// Seeds are brokers of the cluster to ask for the others, as host:port; the port is 9092 where there is none.
	Seeds []string

	// ClientID is the name in the brokers' logs, quotas and metrics. The default is "eventflow".
	ClientID string

	// TLS, where it is not nil, is spoken with every broker. [TLS] makes one of PEM texts; an empty one trusts the
	// system's certificates.
	TLS *tls.Config

	// SASL logs in to every broker: [Plain], [ScramSHA256], [ScramSHA512], [OAuthBearer], [MSKIAM], or any mechanism of
	// franz-go. Nil does not log in. PLAIN and OAUTHBEARER send the secret itself and refuse to without TLS, unless
	// InsecurePlaintext is set.
	SASL sasl.Mechanism

	// InsecurePlaintext lets PLAIN and OAUTHBEARER send their secret over a connection without TLS, as test servers and
	// private networks may want it.
	InsecurePlaintext bool

	// MaxEventBytes is the largest record that a publisher hands to the cluster, headers and key included. The default
	// is 1,000,012, which Kafka's own defaults allow; where it is raised, the topics' max.message.bytes must follow. At
	// most 64 MiB.
	MaxEventBytes int

	// Client options are passed to franz-go for every client that the broker makes: one for publishing and questions,
	// one for each subscriber. Those that would break a promise of this package are refused by name.
	Client []kgo.Opt

	// Logger is told what goes wrong with connections, at the level of warnings and errors. The default is
	// [slog.Default]. A subscriber in a runner uses the runner's.
	Logger *slog.Logger
}

const (
	defaultPort     = 9092
	defaultClientID = "eventflow"
	defaultMaxEvent = 1_000_012 // Kafka's max.message.bytes counts the batch; this is what its own producer sends at most
	mostMaxEvent    = 64 << 20
	leastMaxEvent   = 32 << 10
	// overhead is kept of MaxEventBytes for the key, the headers and the frame of a batch.
	overhead = 16 << 10
)

// check fills the defaults and gives every mistake at once.
func (c *Config) check() error {
	var errs []error
	bad := func(field, value, allowed string) {
		errs = append(errs, &eventflow.ConfigError{Field: "kafka.Config." + field, Value: value, Allowed: allowed})
	}
	if len(c.Seeds) == 0 {
		bad("Seeds", "", "at least one host:port")
	}
	c.Seeds = slices.Clone(c.Seeds)
	for i, s := range c.Seeds {
		seed, ok := seedAddress(s)
		if !ok {
			value := s
			if strings.ContainsAny(s, "@/?=;") || strings.Count(s, ":") > 1 { // a URL or a connection string may hold a password
				value = fmt.Sprintf("number %d (not shown)", i+1)
			}
			bad("Seeds", value, "host:port, without scheme or user")
			continue
		}
		c.Seeds[i] = seed
	}
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if len(c.ClientID) > 256 {
		bad("ClientID", c.ClientID[:32]+"…", "at most 256 bytes")
	}
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = defaultMaxEvent
	}
	if c.MaxEventBytes < leastMaxEvent || c.MaxEventBytes > mostMaxEvent {
		bad("MaxEventBytes", strconv.Itoa(c.MaxEventBytes), fmt.Sprintf("%d to %d", leastMaxEvent, mostMaxEvent))
	}
	if c.SASL != nil && c.TLS == nil && !c.InsecurePlaintext && sendsSecret(c.SASL) {
		bad("SASL", c.SASL.Name()+" without TLS", "Config.TLS beside it, or InsecurePlaintext where the network is private: the password or token goes over as it is")
	}
	if err := checkSASL(c.SASL); err != nil {
		errs = append(errs, err)
	}
	c.Client = slices.Clone(c.Client)
	errs = append(errs, checkClientOptions(c.Client))
	return errors.Join(errs...)
}

// seedAddress gives s with a port.
func seedAddress(s string) (string, bool) {
	if s == "" || strings.ContainsAny(s, "@/?=;, \t\r\n") {
		return "", false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil { // without a port; an IPv6 address with or without its brackets
		host, port = s, strconv.Itoa(defaultPort)
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			host = s[1 : len(s)-1]
		}
		if strings.ContainsAny(host, ":[]") && net.ParseIP(host) == nil {
			return "", false
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}
