package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/eventflow-go/eventflow"
)

// TLS makes a *tls.Config of PEM texts, for Config.TLS. ca holds the certificates that broker certificates are checked
// against; empty: those of the system. cert and key are the client's own, both or neither. What cannot be read is a
// *eventflow.ConfigError that shows none of it.
func TLS(ca, cert, key []byte) (*tls.Config, error) {
	const hidden = "(not shown)"
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, &eventflow.ConfigError{Field: "kafka.TLS ca", Value: hidden, Allowed: "certificates as PEM"}
		}
	}
	if len(cert) == 0 && len(key) == 0 {
		return c, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil { // its text may tell of the key's
		return nil, &eventflow.ConfigError{Field: "kafka.TLS cert and key", Value: hidden, Allowed: "a client certificate and its private key, both as PEM"}
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// Plain is SASL PLAIN: user and password, as they are. It wants TLS.
func Plain(user, password string) sasl.Mechanism {
	return named{plain.Auth{User: user, Pass: password}.AsMechanism(), checkUser("kafka.Plain", user, password), true}
}

// ScramSHA256 is SASL SCRAM-SHA-256, which proves the password without sending it.
func ScramSHA256(user, password string) sasl.Mechanism {
	return named{scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), checkUser("kafka.ScramSHA256", user, password), false}
}

// ScramSHA512 is SASL SCRAM-SHA-512, as ScramSHA256.
func ScramSHA512(user, password string) sasl.Mechanism {
	return named{scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), checkUser("kafka.ScramSHA512", user, password), false}
}

// OAuthBearer is SASL OAUTHBEARER. token is asked for each connection and again before a session ends, by several
// goroutines at once; its error is taken for a refusal of the credentials. It wants TLS.
func OAuthBearer(token func(ctx context.Context) (string, error)) sasl.Mechanism {
	if token == nil {
		return named{oauth.Auth{}.AsMechanism(), missing("kafka.OAuthBearer"), true}
	}
	return named{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		t, err := token(ctx)
		return oauth.Auth{Token: t}, credentials(err)
	}), nil, true}
}

// AWSCredentials are what [MSKIAM] signs with.
type AWSCredentials struct {
	AccessKey, SecretKey string
	SessionToken         string // of temporary credentials
}

// MSKIAM is AWS_MSK_IAM, the login of Amazon MSK with IAM. The region is read from the brokers' names. get is asked as
// the token of [OAuthBearer] is; aws.CredentialsProvider.Retrieve of the AWS SDK has what it wants.
func MSKIAM(get func(ctx context.Context) (AWSCredentials, error)) sasl.Mechanism {
	if get == nil {
		return named{aws.Auth{}.AsManagedStreamingIAMMechanism(), missing("kafka.MSKIAM"), false}
	}
	return named{aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
		c, err := get(ctx)
		return aws.Auth{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken}, credentials(err)
	}), nil, false}
}

// named is a mechanism with what is known of it before anything is connected.
type named struct {
	sasl.Mechanism

	err    error
	secret bool // sends what it proves
}

func checkSASL(m sasl.Mechanism) error {
	if n, ok := m.(named); ok {
		return n.err
	}
	return nil
}

func sendsSecret(m sasl.Mechanism) bool {
	if n, ok := m.(named); ok {
		return n.secret
	}
	return m.Name() == "PLAIN" || m.Name() == "OAUTHBEARER"
}

func checkUser(field, user, password string) error {
	var errs []error
	if user == "" {
		errs = append(errs, &eventflow.ConfigError{Field: field + " user", Allowed: "a name"})
	}
	if password == "" {
		errs = append(errs, &eventflow.ConfigError{Field: field + " password", Allowed: "a password"})
	}
	return errors.Join(errs...)
}

func missing(field string) error {
	return &eventflow.ConfigError{Field: field, Value: "nil", Allowed: "a function that gives the credentials"}
}

// credentialsError is a failure to get credentials. Its text is the provider's own: one that puts a secret into its
// errors puts it into ours.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "getting credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() []error {
	return []error{e.err, ErrCredentials}
}

func credentials(err error) error {
	if err == nil {
		return nil
	}
	return &credentialsError{err}
}
