package sqs_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// The bodies are those of AWS's documentation: Amazon S3 user guide, "Event message structure" and "EventBridge event
// message structure"; Amazon SNS developer guide, "HTTP/HTTPS notification JSON format", whose queue form is the same.
const (
	s3Body = `{"Records":[
{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put",
"userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},"requestParameters":{"sourceIPAddress":"127.0.0.1"},
"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},
"s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule","bucket":{"name":"amzn-s3-demo-bucket","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},
"arn":"arn:aws:s3:::amzn-s3-demo-bucket"},"object":{"key":"red+flower%2Bn%C3%A9.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e",
"versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}},
{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:01.000Z","eventName":"ObjectRemoved:Delete",
"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"x"},
"s3":{"bucket":{"name":"amzn-s3-demo-bucket"},"object":{"key":"other","sequencer":"0055AED6DCD90281E6"}}}]}`

	s3TestBody = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"amzn-s3-demo-bucket",
"RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}`

	bridgeBody = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"111122223333",
"time":"2021-11-12T00:00:00Z","region":"ca-central-1","resources":["arn:aws:s3:::amzn-s3-demo-bucket1"],"detail":{"version":"0",
"bucket":{"name":"amzn-s3-demo-bucket1"},"object":{"key":"example+key","size":5,"etag":"b1946ac92492d2347c6235b4d2611184",
"version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R","requester":"123456789012",
"source-ip-address":"1.2.3.4","reason":"PutObject"}}`

	snsBody = `{"Type":"Notification","MessageId":"22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324","TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic",
"Subject":"My First Message","Message":"Hello world!","Timestamp":"2012-05-02T00:54:06.655Z","SignatureVersion":"1","Signature":"EXAMPLEw6JRN",
"SigningCertURL":"https://sns.us-west-2.amazonaws.com/x.pem","UnsubscribeURL":"https://sns.us-west-2.amazonaws.com/",
"MessageAttributes":{"ce-type":{"Type":"String","Value":"greeting"},"colour":{"Type":"String","Value":"red"},"ce-time":{"Type":"String","Value":"noon"}}}`
)

func viaSNS(t *testing.T, body string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"Type": "Notification", "MessageId": "1", "TopicArn": "arn:t", "Message": body, "Timestamp": "2012-05-02T00:54:06.655Z"})
	require.NoError(t, err)
	return string(b)
}

func records(t *testing.T, evs []eventflow.Event) []sqs.S3Record {
	t.Helper()
	out := make([]sqs.S3Record, len(evs))
	for i := range evs {
		require.NoError(t, json.Unmarshal(evs[i].Data, &out[i]))
	}
	return out
}

func TestEachS3RecordIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{s3Body, viaSNS(t, s3Body)} {
		evs, err := sqs.S3Events(&eventflow.Event{Data: []byte(body)})
		require.NoError(t, err)
		require.Len(t, evs, 2)
		require.NotEqual(t, evs[0].ID, evs[1].ID, "though their request is one")
		again, err := sqs.S3Events(&eventflow.Event{ID: "sent again", Data: []byte(body)})
		require.NoError(t, err)
		require.Equal(t, evs, again)
		require.Equal(t, "aws:s3.us-west-2.amzn-s3-demo-bucket", evs[0].Source)
		require.Equal(t, "com.amazonaws.s3.ObjectCreated:Put", evs[0].Type)
		require.Equal(t, sqs.S3Record{
			Event: "ObjectCreated:Put", Time: time.Unix(0, 0).UTC(), Region: "us-west-2", Bucket: "amzn-s3-demo-bucket", Key: "red flower+né.jpg",
			Size: 1024, ETag: "d41d8cd98f00b204e9800998ecf8427e", VersionID: "096fKKXTRTtl3on89fVO.nfljtsv6qko", Sequencer: "0055AED6DCD90281E5",
		}, records(t, evs)[0])
		require.Equal(t, "other", evs[1].Subject)
	}
}

func TestS3EventsComeByWayOfEventBridge(t *testing.T) {
	t.Parallel()
	evs, err := sqs.S3Events(&eventflow.Event{Data: []byte(bridgeBody)})
	require.NoError(t, err)
	require.Equal(t, []sqs.S3Record{{
		Event: "Object Created", Time: time.Date(2021, 11, 12, 0, 0, 0, 0, time.UTC), Region: "ca-central-1", Bucket: "amzn-s3-demo-bucket1",
		Key: "example+key", Size: 5, ETag: "b1946ac92492d2347c6235b4d2611184", VersionID: "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", Sequencer: "617f08299329d189",
	}}, records(t, evs))
}

func TestS3sTestEventIsSkipped(t *testing.T) {
	t.Parallel()
	for _, body := range []string{s3TestBody, viaSNS(t, s3TestBody)} {
		evs, err := sqs.S3Events(&eventflow.Event{Data: []byte(body)})
		var skip *eventflow.SkipError
		require.ErrorAs(t, err, &skip)
		require.Equal(t, "s3:TestEvent", skip.Reason)
		require.Empty(t, evs)
	}
}

func TestSNSAndEventBridgeEnvelopesAreTakenOff(t *testing.T) {
	t.Parallel()
	evs, err := sqs.SNS(&eventflow.Event{Data: []byte(snsBody)})
	require.NoError(t, err)
	require.Equal(t, []eventflow.Event{{
		ID: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", Source: "arn:aws:sns:us-west-2:123456789012:MyTopic", Type: "greeting", Subject: "My First Message",
		Time: time.Date(2012, 5, 2, 0, 54, 6, 655e6, time.UTC), Data: []byte("Hello world!"),
		Attributes: eventflow.Attributes{{Name: "ce-time", Value: "noon"}, {Name: "colour", Value: "red"}},
	}}, evs)

	evs, err = sqs.EventBridge(&eventflow.Event{Data: []byte(bridgeBody)})
	require.NoError(t, err)
	require.Equal(t, "17793124-05d4-b198-2fde-7ededc63b103", evs[0].ID)
	require.Equal(t, "aws.s3", evs[0].Source)
	require.Equal(t, "Object Created", evs[0].Type)
	require.Equal(t, "111122223333", evs[0].Attributes.String("awsaccount"))
	require.JSONEq(t, `["arn:aws:s3:::amzn-s3-demo-bucket1"]`, evs[0].Attributes.String("awsresources"))
	require.True(t, strings.HasPrefix(string(evs[0].Data), `{"version":"0"`))
}

func TestWhatIsNoNotificationIsRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "hello", "null", "[]", "{}", `{"Records":[]}`, `{"Records":[{}]}`, `{"Records":[{"eventSource":"aws:ses"}]}`, `{"Type":"Notification"}`} {
		for _, decode := range []sqs.Decoder{sqs.S3Events, sqs.SNS, sqs.EventBridge} {
			_, err := decode(&eventflow.Event{Data: []byte(body)})
			require.Error(t, err, body)
		}
	}
}

// One of two records fails at first: it alone runs again, and the message is deleted once.
func TestSeveralRunsAreOneSettlement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		require.NoError(t, b.server.CreateQueue("dead", sqstest.Queue{}))
		p := b.broker.Publisher("q")
		for _, body := range []string{s3TestBody, s3Body, "no notification"} {
			require.NoError(t, p.Publish(b.ctx, eventflow.Event{Data: []byte(body)}))
		}
		var j journal
		flow := eventflow.NewSink("etl", func(ctx context.Context, r sqs.S3Record) error {
			j.notef("%s", r.Key)
			if r.Key == "other" && eventflow.RunFrom(ctx).Attempt == 1 {
				return errPoison
			}
			return nil
		})
		deletes := b.requests("DeleteMessageBatch")
		b.listen(func() bool { return b.server.Stats("q") == sqstest.Stats{} }, flow,
			runner.On(b.broker.Subscriber("q", sqs.Decode(sqs.S3Events), sqs.DeadLetterQueue("dead"))))
		require.ElementsMatch(t, []string{"red flower+né.jpg", "other", "other"}, j.all())
		require.Equal(t, 1, b.server.Stats("dead").Visible, "what is no notification")
		require.LessOrEqual(t, b.requests("DeleteMessageBatch")-deletes, 1+3)
	})
}

// A message whose one part goes back to the queue comes back whole; what was done of it is not done again.
func TestPartThatGoesBackBringsItsMessageBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		require.NoError(t, b.broker.Publisher("q").Publish(b.ctx, eventflow.Event{Data: []byte(s3Body)}))
		s := b.broker.Subscriber("q", sqs.Decode(sqs.S3Events))
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		ds := b.next(s, 2)
		ds[0].Ack()
		time.Sleep(time.Second)
		settled, _ := x.counts()
		require.Zero(t, settled, "the other is not settled yet")
		ds[1].Nack(time.Minute)
		start := time.Now()
		again := b.next(s, 2)
		require.GreaterOrEqual(t, time.Since(start), time.Minute)
		require.Equal(t, ds[0].Event, again[0].Event)
		eventflow.SettleAll(again, eventflow.Settlement{Verb: eventflow.Ack})
		require.NoError(t, s.Close(b.ctx))
		settled, lost := x.counts()
		require.Equal(t, 4, settled)
		require.Zero(t, lost)
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}

func TestLostMessageLosesItsOpenPartsAndTellsOfTheSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 30 * time.Second})
		require.NoError(t, b.broker.Publisher("q").Publish(b.ctx, eventflow.Event{Data: []byte(s3Body)}))
		s := b.broker.Subscriber("q", sqs.Decode(sqs.S3Events))
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		ds := b.next(s, 2)
		ds[0].Ack()
		b.server.ExpireVisibility("q")
		again := b.next(s, 2)
		require.True(t, ds[1].Lost())
		synctest.Wait() // Lost may be told while Next hands over
		settled, lost := x.counts()
		require.Equal(t, 1, settled)
		require.Equal(t, 1, lost)
		require.ErrorIs(t, x.errs[0], eventflow.ErrLockLost)
		require.ErrorIs(t, x.errs[1], eventflow.ErrLockLost)
		eventflow.SettleAll(again, eventflow.Settlement{Verb: eventflow.Ack})
		require.NoError(t, s.Close(b.ctx))
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}
