package sqstest

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Rights are what the holder of a credential may do.
type Rights struct {
	// Actions are named as in a policy, without the "sqs:": ReceiveMessage, DeleteMessage. As in a policy, the right to an
	// action is the right to its batches. None at all when empty; "*" is all.
	Actions []string

	// Queues narrows them to queues, by name; all queues when empty. What is about no queue needs the action alone:
	// ListQueues, AssumeRole.
	Queues []string
}

func (r Rights) allow(action, queue string) bool {
	action = strings.TrimSuffix(action, "Batch")
	return (slices.Contains(r.Actions, action) || slices.Contains(r.Actions, "*")) && (queue == "" || len(r.Queues) == 0 || slices.Contains(r.Queues, queue))
}

// Credential is an access key with rights of its own.
type Credential struct {
	ID, Secret string

	s      *Server
	rights Rights // guarded by the server's lock, as all below
	role   *role  // whose rights are the credential's; nil for a key of Grant
	until  time.Time
}

// Grant makes an access key that has these rights and no others. A key that no Grant made may do everything, whatever
// its secret: signatures are not checked.
func (s *Server) Grant(r Rights) *Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Credential{ID: "AKIA" + rand.Text()[:16], Secret: rand.Text(), s: s, rights: r}
	s.credentials[c.ID] = c
	return c
}

// Set changes the credential's rights, from the next request on.
func (c *Credential) Set(r Rights) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.rights = r
}

// Config is a configuration for clients of the server that use this credential; see [Server.Config].
func (c *Credential) Config() aws.Config { return c.s.config(c.ID, c.Secret) }

// Config is a configuration for clients of the server, with all rights: sqs.NewFromConfig(server.Config()).
func (s *Server) Config() aws.Config { return s.config("AKIAEVERYTHING", "secret") }

func (s *Server) config(id, secret string) aws.Config {
	cfg := aws.Config{
		Region: s.opts.Region, BaseEndpoint: aws.String(s.endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, Source: "sqstest"}, nil
		}),
	}
	if s.opts.InMemory {
		cfg.HTTPClient = &http.Client{Transport: s}
	}
	return cfg
}

// accessKey is who signed a request, "" when nobody did.
func accessKey(h http.Header) string {
	_, rest, _ := strings.Cut(h.Get("Authorization"), "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// permit holds a request against the rights of its credential.
func (s *Server) permit(r Request) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.credentials[r.AccessKey]
	if c == nil {
		return nil
	}
	if !c.until.IsZero() && !s.clock.Now().Before(c.until) {
		return refuse("ExpiredToken", "The security token included in the request is expired")
	}
	rights := c.rights
	if c.role != nil {
		rights = c.role.rights
	}
	if rights.allow(r.Action, r.Queue) {
		return nil
	}
	action := "sqs:" + strings.ToLower(strings.TrimSuffix(r.Action, "Batch"))
	return refuse("AccessDenied", "User: arn:aws:iam::%s:user/%s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		s.opts.Account, c.ID, action, arn(s.opts.Region, s.opts.Account, r.Queue), action)
}
