package sqstest_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// A rule is something that Amazon's documentation says of SQS, tried with Amazon's client. A server of one's own proves
// nothing by itself, so the same rules are tried on other people's servers: a rule counts when one of them agrees. Which
// do not is in the table of deviations.
type rule struct {
	name string

	// long is for rules that wait for minutes. Other servers are tried with them only when EVENTFLOW_LONG is set.
	long bool

	check func(*bench)
}

// others are the other servers, with the variables that hold their endpoints. "scripts/with-servers sqs" sets them.
var others = map[string]string{"moto": "EVENTFLOW_MOTO", "fauxqs": "EVENTFLOW_FAUXQS", "elasticmq": "EVENTFLOW_ELASTICMQ"}

func rules() []rule {
	return slices.Concat(queueRules(), sendRules(), batchRules(), receiveRules(), settleRules(), fifoRules(), redriveRules())
}

// TestRules tries every rule on sqstest, in a bubble, where its waiting takes no time.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := sqstest.New(t, sqstest.Options{InMemory: true})
				r.check(newBench(t, server.Config()))
			})
		})
	}
}

// TestRulesOnOtherServers tries every rule on the servers whose endpoints are in the environment, and on ours in a
// process of its own, where sockets are real and waiting takes its time.
func TestRulesOnOtherServers(t *testing.T) {
	t.Parallel()
	all := maps.Clone(others)
	all["sqstest"] = "EVENTFLOW_SQSTEST"
	for server, variable := range all {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			endpoint := os.Getenv(variable)
			if endpoint == "" {
				if slices.Contains(strings.Fields(os.Getenv("EVENTFLOW_REQUIRE_SERVERS")), "sqs") && os.Getenv("EVENTFLOW_SQS_SERVERS") == "" {
					t.Fatal(variable + " is not set")
				}
				t.Skip(variable + " is not set: scripts/with-servers sqs -- go test ./sqs/sqstest")
			}
			tryAll(t, server, endpoint)
		})
	}
}

const (
	waiting = 8 // rules are tried on a server at once: they mostly wait
	tries   = 3 // for a server on a busy machine may be too late once
)

func tryAll(t *testing.T, server, endpoint string) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: waiting}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}, nil
		}),
	}
	all := rules()
	outcomes := make([]outcome, len(all))
	var running sync.WaitGroup
	slots := make(chan struct{}, waiting)
	for i, r := range all {
		if r.long && os.Getenv("EVENTFLOW_LONG") == "" {
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			for range tries {
				if outcomes[i] = try(t, cfg, r); !outcomes[i].failed || deviations[r.name][server] != "" {
					break
				}
			}
			<-slots
		})
	}
	running.Wait()
	kept := 0
	for i, r := range all {
		t.Run(r.name, func(t *testing.T) {
			o, instead := outcomes[i], deviations[r.name][server]
			switch {
			case o.ctx == nil:
				t.Skip("it takes minutes: EVENTFLOW_LONG=1")
			case o.failed && instead == "":
				t.Errorf("%s", o.log)
			case o.failed:
				t.Logf("%s deviates: %s", server, instead)
			case instead != "":
				t.Errorf("%s keeps this rule now, although the table says that it deviates: %s", server, instead)
			default:
				kept++
			}
		})
	}
	t.Logf("%s keeps %d of %d rules", server, kept, len(all))
}

// outcome is what became of a rule that may well not be kept.
type outcome struct {
	testing.TB

	ctx    context.Context //nolint:containedctx // it is the test's
	failed bool
	log    string
}

func try(t *testing.T, cfg aws.Config, r rule) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Minute)
	defer cancel()
	o := &outcome{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil { // an answer without what the rule looks at
				o.failed, o.log = true, fmt.Sprint(p)
			}
		}()
		r.check(newBench(o, cfg))
	}()
	<-done
	return *o
}

func (o *outcome) Context() context.Context { return o.ctx }

func (o *outcome) Errorf(format string, args ...any) {
	o.failed = true
	o.log += fmt.Sprintf(format, args...)
}

func (o *outcome) FailNow() {
	o.failed = true
	runtime.Goexit()
}

func TestARuleStandsOnlyWhenAnotherServerAgrees(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	var alone []string
	for _, r := range rules() {
		require.False(t, names[r.name], "%q stands twice", r.name)
		names[r.name] = true
		if len(deviations[r.name]) == len(others) {
			alone = append(alone, r.name)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(rulesAlone)), alone)
	for name, servers := range deviations {
		require.True(t, names[name], "there is no rule %q", name)
		for server := range servers {
			require.Contains(t, others, server, name)
		}
	}
}

// newBench makes a client. Nothing of one rule meets another's: each makes its own queues.
func newBench(tb testing.TB, cfg aws.Config) *bench {
	tb.Helper()
	_, other := tb.(*outcome)
	return &bench{TB: tb, exact: !other, Client: sqs.NewFromConfig(cfg, func(o *sqs.Options) {
		o.RetryMaxAttempts, o.HTTPClient = 1, steady{o.HTTPClient}
	})}
}

// steady is a client whose requests' bodies can only be read: the SDK closes a body when the answer's header is there, and
// then says io.EOF to WriteTo, which makes net/http cut the connection with the rest of the answer.
type steady struct{ sqs.HTTPClient }

func (c steady) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		r := *req
		r.Body = struct{ io.ReadCloser }{req.Body}
		req = &r
	}
	return c.HTTPClient.Do(req)
}
