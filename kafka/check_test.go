package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

func check(t *testing.T, b *kafka.Broker, topic, deadLetters string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return kafka.Check(ctx, b, topic, "group", deadLetters)
}

// startError asserts what every typed error of a start is: final, with the address and what to do, without the password.
func startError(t *testing.T, err, reason error, b *kafka.Broker, topic, do string) {
	t.Helper()
	var e *kafka.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, reason)
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.Equal(t, "start", e.Op)
	require.Equal(t, topic, e.Topic)
	require.NotEmpty(t, e.Brokers)
	require.ErrorContains(t, err, e.Brokers[0])
	require.ErrorContains(t, err, do)
	require.NotContains(t, err.Error(), "secret")
	require.NotNil(t, b)
}

func noCredentials(context.Context) (kafka.AWSCredentials, error) {
	return kafka.AWSCredentials{}, errors.New("no credentials")
}

func TestStartFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	require.NoError(t, kafka.Check(t.Context(), b, "three", "group", "one.dlq"))
}

func TestStartWithAMissingTopicIsFinal(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	startError(t, check(t, b, "nowhere", ""), eventflow.ErrNoTopic, b, "nowhere", "create the topic")
}

func TestStartWithAMissingDeadLetterTopicIsFinal(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	startError(t, check(t, b, "three", "three.dlq"), eventflow.ErrNoTopic, b, "three.dlq", "kafka.NoDeadLetters")
}

func TestStartWithAWrongPasswordIsFinal(t *testing.T) {
	t.Parallel()
	for _, m := range []sasl.Mechanism{
		kafka.Plain("reader", "secret"), kafka.ScramSHA256("reader", "secret"), kafka.ScramSHA512("reader", "secret"),
		kafka.OAuthBearer(func(context.Context) (string, error) { return "secret", nil }),
	} {
		c := newCluster(t, kfake.EnableSASL(), kfake.User("PLAIN", "reader", "right"), kfake.User("SCRAM-SHA-256", "reader", "right"), kfake.User("SCRAM-SHA-512", "reader", "right"))
		c.takeMechanisms(m.Name())
		c.refuseLogins()
		b := c.broker(func(cfg *kafka.Config) { cfg.SASL, cfg.InsecurePlaintext = m, true })
		startError(t, check(t, b, "one", ""), kafka.ErrCredentials, b, "one", "check Config.SASL")
	}
}

func TestStartWithAMechanismThatIsNotOfferedIsFinal(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.EnableSASL(), kfake.User("PLAIN", "reader", "secret"))
	b := c.broker(func(cfg *kafka.Config) {
		cfg.SASL, cfg.InsecurePlaintext = kafka.OAuthBearer(func(context.Context) (string, error) { return "secret", nil }), true
	})
	startError(t, check(t, b, "one", ""), kafka.ErrCredentials, b, "one", "the mechanism that the listener offers")
}

func TestStartWhoseCredentialsCannotBeHadIsFinal(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.EnableSASL())
	c.takeMechanisms("OAUTHBEARER", "AWS_MSK_IAM")
	gone := errors.New("the identity provider is gone")
	for _, m := range []sasl.Mechanism{
		kafka.OAuthBearer(func(context.Context) (string, error) { return "", gone }),
		kafka.MSKIAM(func(context.Context) (kafka.AWSCredentials, error) { return kafka.AWSCredentials{}, gone }),
	} {
		b := c.broker(func(cfg *kafka.Config) { cfg.SASL, cfg.InsecurePlaintext = m, true })
		err := check(t, b, "one", "")
		startError(t, err, kafka.ErrCredentials, b, "one", "where its credentials come from")
		require.ErrorIs(t, err, gone)
	}
}

func TestStartWithoutARightIsFinal(t *testing.T) {
	t.Parallel()
	acl := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	const topic, group = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup
	for do, acls := range map[string][]kfake.ACL{
		"an ACL for the topic": {acl(group, "group", kmsg.ACLOperationRead)},
		"Read and Describe to consume": {
			acl(group, "group", kmsg.ACLOperationRead), acl(topic, "one", kmsg.ACLOperationWrite),
		},
		"an ACL to Read the consumer group": {acl(topic, "one", kmsg.ACLOperationRead)},
		"it is the dead-letter topic": {
			acl(group, "group", kmsg.ACLOperationRead), acl(topic, "one", kmsg.ACLOperationRead), acl(topic, "one.dlq", kmsg.ACLOperationRead),
		},
	} {
		c := newCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "reader", "secret", acls...))
		b := c.broker(func(cfg *kafka.Config) { cfg.SASL, cfg.InsecurePlaintext = kafka.Plain("reader", "secret"), true })
		about := map[bool]string{true: "one.dlq", false: "one"}[do == "it is the dead-letter topic"]
		startError(t, check(t, b, "one", "one.dlq"), kafka.ErrNotAuthorised, b, about, do)
	}
}

func TestStartWithAllRightsGoesOn(t *testing.T) {
	t.Parallel()
	acl := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	c := newCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("SCRAM-SHA-256", "reader", "secret",
		acl(kmsg.ACLResourceTypeGroup, "group", kmsg.ACLOperationRead), acl(kmsg.ACLResourceTypeTopic, "one", kmsg.ACLOperationRead),
		acl(kmsg.ACLResourceTypeTopic, "one.dlq", kmsg.ACLOperationWrite)))
	require.NoError(t, check(t, c.broker(func(cfg *kafka.Config) { cfg.SASL = kafka.ScramSHA256("reader", "secret") }), "one", "one.dlq"))
}

func TestStartWhereOneSideSpeaksTLSIsFinal(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	secure := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pki.server}}))
	stranger := newPKI(t)
	for name, b := range map[string]*kafka.Broker{
		"we speak it, the broker does not": open(t, kafka.Config{Seeds: []string{hangsUp(t, "")}, Logger: quiet, TLS: &tls.Config{RootCAs: pki.pool}}),
		"the broker speaks it, we do not":  secure.broker(nil),
		"the broker speaks it and says so": open(t, kafka.Config{Seeds: []string{hangsUp(t, "\x15\x03\x03\x00\x02\x02\x50")}, Logger: quiet}),
		"its CA is not ours":               secure.broker(func(cfg *kafka.Config) { cfg.TLS = &tls.Config{RootCAs: stranger.pool} }),
		"its certificate is another's": secure.broker(func(cfg *kafka.Config) {
			cfg.TLS = &tls.Config{RootCAs: pki.pool, ServerName: "elsewhere.example"}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			startError(t, check(t, b, "one", ""), kafka.ErrTLS, b, "one", "set Config.TLS")
		})
	}
}

func TestClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	c := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pki.server}, ClientCAs: pki.pool, ClientAuth: tls.RequireAndVerifyClientCert}))
	with, err := kafka.TLS(pki.ca, pki.cert, pki.key)
	require.NoError(t, err)
	require.NoError(t, check(t, c.broker(func(cfg *kafka.Config) { cfg.TLS = with }), "one", ""))
	without, err := kafka.TLS(pki.ca, nil, nil)
	require.NoError(t, err)
	b := c.broker(func(cfg *kafka.Config) { cfg.TLS = without })
	startError(t, check(t, b, "one", ""), kafka.ErrTLS, b, "one", "set Config.TLS")
}

func TestUnreachableBrokerIsWaitedFor(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	require.NoError(t, ln.Close())
	b := open(t, kafka.Config{Seeds: []string{ln.Addr().String()}, Logger: quiet})
	require.NoError(t, check(t, b, "one", ""), "Next waits for it")
	err := publisher(t, b, "one").Publish(t.Context(), eventflow.Event{})
	require.ErrorIs(t, err, kafka.ErrUnreachable)
	require.ErrorContains(t, err, ln.Addr().String())
	require.NotErrorIs(t, err, eventflow.ErrFatal)
}

// hangsUp is a broker that does not know what is said to it, answers so and hangs up; the fake cluster would wait for
// the rest.
func hangsUp(t *testing.T, answer string) string {
	t.Helper()
	ln := listen(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// pki is a CA, and a certificate of it for 127.0.0.1.
type pki struct {
	ca, cert, key []byte // PEM
	pool          *x509.CertPool
	server        tls.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	make509 := func(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		require.NoError(t, err)
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return k
	}
	begin, end := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	caKey, key := newKey(), newKey()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begin, NotAfter: end, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER := make509(ca, ca, caKey, caKey)
	certDER := make509(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, key, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	p := &pki{
		ca:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		pool: x509.NewCertPool(),
	}
	require.True(t, p.pool.AppendCertsFromPEM(p.ca))
	p.server, err = tls.X509KeyPair(p.cert, p.key)
	require.NoError(t, err)
	return p
}
