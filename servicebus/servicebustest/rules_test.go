package servicebustest_test

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// A rule is something that this server does as the service does. A server of one's own proves nothing by itself, so a
// rule stands here with those who agree: azservicebus, whose behaviour is the check; and, since a client can see only
// that it is so, but not always that it is right, at least one of two more: Microsoft's client for JavaScript, on another
// AMQP stack, which checks the rule of the same name in testdata/crosscheck, or the vendor's page that says it.
type rule struct {
	name  string
	js    bool   // the JavaScript client agrees
	doc   string // the vendor's page
	check func(*bench)
}

func rules() []rule {
	return slices.Concat(sendRules(), receiveRules(), settleRules(), sessionRules(), topicRules(), managementRules(), rightsRules())
}

// Where the vendor's pages are, and what it says by the code of its other clients or to those who ask.
const (
	learn    = "https://learn.microsoft.com/azure/service-bus-messaging/"
	dotnet   = "https://github.com/Azure/azure-sdk-for-net/blob/main/sdk/servicebus/Azure.Messaging.ServiceBus/src/"
	python   = "https://github.com/Azure/azure-sdk-for-python/blob/main/sdk/servicebus/azure-servicebus/azure/servicebus/"
	released = "https://github.com/Azure/amqpnetlite/issues/342"
)

func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.check(newBench(t))
		})
	}
}

// TestTheJavaScriptClientAgrees runs testdata/crosscheck when its packages are there (npm ci); without them it skips,
// unless SERVICEBUSTEST_CROSSCHECK says that they have to be.
func TestTheJavaScriptClientAgrees(t *testing.T) {
	t.Parallel()
	const dir = "testdata/crosscheck"
	if _, err := os.Stat(dir + "/node_modules/@azure/service-bus"); err != nil {
		require.Empty(t, os.Getenv("SERVICEBUSTEST_CROSSCHECK"), "npm ci was not run in "+dir)
		t.Skip("npm ci was not run in " + dir)
	}
	server := servicebustest.New(t, servicebustest.Options{
		Queues: map[string]servicebustest.Queue{
			"q":      {MaxDeliveryCount: 3},
			"prompt": {LockDuration: time.Second},
			"sess":   {RequiresSession: true},
			"fleet":  {RequiresSession: true, LockDuration: time.Second},
			"dup":    {DuplicateWindow: time.Minute},
			"ttl":    {DeadLetterOnExpiration: true},
		},
		Topics: map[string]servicebustest.Topic{"t": {Subscriptions: map[string]servicebustest.Subscription{
			"all": {}, "subject": {Filters: []servicebustest.Filter{{Subject: "b"}}},
		}}},
	})
	node := exec.CommandContext(t.Context(), "node", "crosscheck.mjs", server.ConnectionString(), server.Grant(servicebustest.Listen, ""), server.Grant(servicebustest.Send, ""))
	node.Dir = dir
	out, err := node.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var agreed []string
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "agreed: "); ok {
			agreed = append(agreed, name)
		}
	}
	var want []string
	for _, r := range rules() {
		if r.js {
			want = append(want, r.name)
		}
	}
	require.ElementsMatch(t, want, agreed, "%s", out)
}

func TestEveryRuleHasANameOfItsOwnAndSomebodyWhoAgrees(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range rules() {
		require.False(t, seen[r.name], r.name)
		require.NotNil(t, r.check, r.name)
		require.True(t, r.js || strings.HasPrefix(r.doc, "https://"), r.name)
		seen[r.name] = true
	}
}
