package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// What an [Error] may be about, besides eventflow.ErrNoTopic, ErrTooLarge and ErrClosed. Test with [errors.Is].
var (
	// ErrCredentials: the broker refused the user, the password or the token, or does not offer the SASL mechanism; or
	// the function that gives the token failed.
	ErrCredentials = errors.New("kafka: the credentials were refused")

	// ErrNotAuthorised: the credentials are good and an ACL for the topic, the group or the cluster is missing.
	ErrNotAuthorised = errors.New("kafka: not authorised")

	// ErrTLS: one side speaks TLS and the other does not, or a certificate was refused. A broker that demands SASL of
	// a client that has none hangs up in the same way.
	ErrTLS = errors.New("kafka: TLS does not match")

	// ErrFenced: a transaction was ended by the cluster, because another process has begun one under the same name, or
	// because it took longer than its timeout. Nothing of it is visible.
	ErrFenced = errors.New("kafka: the transaction was fenced")

	// ErrUnreachable: no broker of the list answers. It is always waited for, also at start.
	ErrUnreachable = errors.New("kafka: no broker can be reached")
)

// Error says what was asked of which cluster, what came back and what to do. It holds no secret. Reason is one of the
// errors above or of package eventflow, or nil when the cause has no name here.
type Error struct {
	Op      string   // "start", "publish", "receive", "dead-letter", "transact", "list"
	Topic   string   // "" when it is about no topic
	Brokers []string // the list that the client started from
	Reason  error
	Do      string // what to do about it, for whoever runs the program
	Err     error  // the client's

	final bool
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("kafka: " + e.Op)
	if e.Topic != "" {
		b.WriteString(" " + e.Topic)
	}
	b.WriteString(" at " + strings.Join(e.Brokers, ",") + ": ")
	if e.Reason != nil {
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(e.Reason.Error(), "kafka: "), "eventflow: ") + ": ")
	}
	b.WriteString(e.Err.Error())
	if e.Do != "" {
		b.WriteString(" (" + e.Do + ")")
	}
	return b.String()
}

// Unwrap gives the reason and the cause, and eventflow.ErrFatal when waiting does not mend it.
func (e *Error) Unwrap() []error {
	errs := []error{e.Err}
	if e.Reason != nil {
		errs = append(errs, e.Reason)
	}
	if e.final {
		errs = append(errs, eventflow.ErrFatal)
	}
	return errs
}

// explain makes an *Error of what the client returned. A nil error, an ended context and what was explained already pass
// as they are. At start all is final but an unreachable broker; later all is waited for.
func (b *Broker) explain(op, topic string, err error, start bool) error {
	var known *Error
	var config *eventflow.ConfigError
	switch {
	case err == nil, errors.As(err, &known), errors.As(err, &config):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !isDial(err) && !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	do, reason := classify(err)
	return &Error{
		Op: op, Topic: topic, Brokers: b.cfg.Seeds, Reason: reason, Do: do, Err: err,
		final: start && reason != nil && !errors.Is(reason, ErrUnreachable) && !errors.Is(reason, eventflow.ErrClosed),
	}
}

// reasons names the answers of a broker that have a remedy.
var reasons = []struct {
	codes  []error
	reason error
	do     string
}{
	{
		[]error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException},
		eventflow.ErrNoTopic, "create the topic, or correct its name",
	},
	{
		[]error{kerr.MessageTooLarge, kerr.RecordListTooLarge},
		eventflow.ErrTooLarge, "raise Config.MaxEventBytes and the topic's max.message.bytes, or publish a reference to the data",
	},
	{
		[]error{kerr.TopicAuthorizationFailed},
		ErrNotAuthorised, "give the user an ACL for the topic: Read and Describe to consume, Write and Describe to publish",
	},
	{
		[]error{kerr.GroupAuthorizationFailed},
		ErrNotAuthorised, "give the user an ACL to Read the consumer group",
	},
	{
		[]error{kerr.TransactionalIDAuthorizationFailed},
		ErrNotAuthorised, "give the user an ACL to Write and Describe the transactional ID",
	},
	{
		[]error{kerr.ClusterAuthorizationFailed},
		ErrNotAuthorised, "give the user the ACL on the cluster that the operation needs, IdempotentWrite to publish before Kafka 2.8",
	},
	{
		[]error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState},
		ErrCredentials, "check Config.SASL: the mechanism that the listener offers, the user and the password or token",
	},
	{
		[]error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.FencedInstanceID},
		ErrFenced, "let no two subscribers of a group have the same kafka.StaticMember; where none have, raise the timeout of kafka.ExactlyOnce",
	},
	{
		[]error{kgo.ErrClientClosed},
		eventflow.ErrClosed, "",
	},
}

// classify gives the remedy and the reason of a client's error; "" and nil when there are none.
func classify(err error) (do string, reason error) {
	for _, r := range reasons {
		for _, code := range r.codes {
			if errors.Is(err, code) {
				return r.do, r.reason
			}
		}
	}
	switch {
	case errors.Is(err, ErrCredentials):
		return "check Config.SASL: where its credentials come from gave none", ErrCredentials
	case isTLS(err):
		return "set Config.TLS where the listener speaks TLS and only there, with the CA that signed the broker's certificate; " +
			"a listener that wants SASL hangs up the same way on a client without Config.SASL", ErrTLS
	case isDial(err), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), kgo.IsRetryableBrokerErr(err):
		return "check Config.Seeds, the network and that the brokers run; it is tried again", ErrUnreachable
	}
	return "", nil
}

func isTLS(err error) bool {
	var (
		eof       *kgo.ErrFirstReadEOF
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
	)
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") { // an alert of package tls
		return true
	}
	// The client has no type for an alert that it read as the size of an answer.
	return strings.Contains(err.Error(), "appear to be a tls alert") || errors.As(err, &eof) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

func isDial(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}
