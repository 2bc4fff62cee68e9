package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// serve is what an example has instead of New, which wants a test. In memory, so that no connection stays open.
func serve(clock sqstest.Clock) *sqstest.Server {
	server, err := sqstest.Start(sqstest.Options{InMemory: true, Clock: clock, Queues: map[string]sqstest.Queue{
		"orders": {DeadLetterQueue: "dead", MaxReceiveCount: 2}, "dead": {},
	}})
	if err != nil {
		panic(err)
	}
	return server
}

func order(server *sqstest.Server, cfg aws.Config, what string) error {
	_, err := sqs.NewFromConfig(cfg).SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String(server.QueueURL("orders")), MessageBody: &what})
	return err
}

func receive(server *sqstest.Server, queue string) []types.Message {
	out, err := sqs.NewFromConfig(server.Config()).ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(server.QueueURL(queue)), MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		panic(err)
	}
	return out.Messages
}

func codeOf(err error) string {
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode()
	}
	return "none"
}

func Example() {
	server, err := sqstest.Start(sqstest.Options{Queues: map[string]sqstest.Queue{"orders": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	_ = order(server, server.Config(), "one coffee")
	for _, m := range receive(server, "orders") {
		fmt.Println(*m.Body, m.Attributes["ApproximateReceiveCount"])
	}
	fmt.Println(server.Stats("orders"))
	// Output:
	// one coffee 1
	// 0 visible, 1 in flight, 0 delayed
}

// A message that is received twice and never deleted, without waiting for it.
func ExampleManualClock() {
	clock := sqstest.NewManualClock(time.Now())
	server := serve(clock)
	defer server.Close()
	_ = order(server, server.Config(), "one coffee")
	for range 3 {
		fmt.Println(len(receive(server, "orders")))
		clock.Advance(30 * time.Second)
	}
	fmt.Println(*receive(server, "dead")[0].Body)
	// Output:
	// 1
	// 1
	// 0
	// one coffee
}

// The connection is cut after the message was taken: the client sends it again, and the queue has it twice.
func ExampleServer_FailNext() {
	server := serve(nil)
	defer server.Close()
	server.FailNext("SendMessage", "orders", sqstest.Fault{Action: sqstest.Cut, Applied: true})
	fmt.Println(order(server, server.Config(), "two teas"))
	fmt.Println(server.Stats("orders"), "by", server.Requests("orders", "SendMessage"), "requests")
	// Output:
	// <nil>
	// 2 visible, 0 in flight, 0 delayed by 2 requests
}

// Everything that one queue is asked for is refused, until the interceptor is stopped.
func ExampleServer_Intercept() {
	server := serve(nil)
	defer server.Close()
	stop := server.Intercept(func(r sqstest.Request) sqstest.Fault {
		if r.Queue == "orders" {
			return sqstest.Fault{Action: sqstest.Refuse, Code: "AWS.SimpleQueueService.Odd"}
		}
		return sqstest.Fault{}
	})
	fmt.Println(codeOf(order(server, server.Config(), "one coffee")))
	stop()
	fmt.Println(codeOf(order(server, server.Config(), "one coffee")))
	// Output:
	// AWS.SimpleQueueService.Odd
	// none
}

// A key that may only receive.
func ExampleServer_Grant() {
	server := serve(nil)
	defer server.Close()
	reader := server.Grant(sqstest.Rights{Actions: []string{"ReceiveMessage"}, Queues: []string{"orders"}})
	fmt.Println(codeOf(order(server, reader.Config(), "one coffee")))
	reader.Set(sqstest.Rights{Actions: []string{"SendMessage"}})
	fmt.Println(codeOf(order(server, reader.Config(), "one coffee")))
	// Output:
	// AccessDenied
	// none
}

// A role of another account, with the external ID that it asks for.
func ExampleServer_GrantRole() {
	server := serve(nil)
	defer server.Close()
	const role = "arn:aws:iam::999999999999:role/sender"
	server.GrantRole(role, "handshake", sqstest.Rights{Actions: []string{"SendMessage"}})
	cfg := server.Config()
	cfg.Credentials = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(server.Config()), role, func(o *stscreds.AssumeRoleOptions) {
		o.ExternalID = aws.String("handshake")
	})
	fmt.Println(order(server, cfg, "one coffee"), server.Stats("orders").Visible)
	// Output:
	// <nil> 1
}

// A proxy fails where the server behind it, which may be anybody's, would not.
func ExampleStartProxy() {
	server, err := sqstest.Start(sqstest.Options{Queues: map[string]sqstest.Queue{"orders": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	proxy, err := sqstest.StartProxy(server.Endpoint())
	if err != nil {
		panic(err)
	}
	defer proxy.Close()
	proxy.FailNext("SendMessage", "orders", sqstest.Fault{Action: sqstest.Refuse, Code: "AccessDenied"})
	fmt.Println(codeOf(order(server, proxy.Config(), "one coffee")))
	fmt.Println(server.Requests("orders", ""), proxy.Requests("orders", ""))
	// Output:
	// AccessDenied
	// 0 1
}
