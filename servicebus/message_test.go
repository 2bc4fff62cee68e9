package servicebus_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/servicebus"
)

// received is what a consumer gets of a message: through AMQP's encoding and back.
func received(t require.TestingT, m *azservicebus.AMQPAnnotatedMessage) *azservicebus.ReceivedMessage {
	wire := &amqp.Message{ApplicationProperties: m.ApplicationProperties, Data: m.Body.Data, Value: m.Body.Value, Sequence: m.Body.Sequence}
	if p := m.Properties; p != nil {
		wire.Properties = &amqp.MessageProperties{MessageID: p.MessageID, ContentType: p.ContentType, GroupID: p.GroupID, Subject: p.Subject}
	}
	b, err := wire.MarshalBinary()
	require.NoError(t, err)
	var back amqp.Message
	require.NoError(t, back.UnmarshalBinary(b))
	out := &azservicebus.ReceivedMessage{ApplicationProperties: back.ApplicationProperties, RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{
		ApplicationProperties: back.ApplicationProperties, Body: azservicebus.AMQPAnnotatedMessageBody{Data: back.Data, Value: back.Value, Sequence: back.Sequence},
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{},
	}}
	if p := back.Properties; p != nil {
		out.MessageID, _ = p.MessageID.(string)
		out.ContentType, out.SessionID, out.Subject = p.ContentType, p.GroupID, p.Subject
	}
	n, at := int64(7), time.UnixMilli(1_700_000_000_123).UTC()
	out.SequenceNumber, out.EnqueuedTime = &n, &at
	return out
}

func whole() eventflow.Event {
	return eventflow.Event{
		ID: "A234", Source: "/context", Type: "com.example.event", Subject: "sub", Key: "k", DataContentType: "application/json", DataSchema: "https://example.com/s",
		Time: time.Date(2024, 2, 29, 1, 2, 3, 456789012, time.UTC), Data: []byte(`{"a":1}`),
		Attributes: eventflow.Attributes{
			{Name: "text", Value: "x"}, {Name: "yes", Value: true}, {Name: "small", Value: int32(math.MinInt32)}, {Name: "large", Value: int64(math.MaxInt64)},
			{Name: "ratio", Value: 0.1}, {Name: "bytes", Value: []byte{0, 0xff}}, {Name: "milli", Value: time.UnixMilli(1).UTC()},
			{Name: "nano", Value: time.Unix(1, 1).UTC()}, {Name: "uuid", Value: [16]byte{1, 2, 3}}, {Name: "text", Value: "again"},
			{Name: "With-Dash", Value: "y"}, {Name: "id", Value: "an extension"}, {Name: "cloudEvents:id", Value: "odd"}, {Name: "eventflow-id", Value: "odd"},
			{Name: "broken", Value: "\xff"}, {Name: "", Value: "no name"},
		},
	}
}

func TestAnEventComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventflow.Event){
		"whole":                func(*eventflow.Event) {},
		"no data":              func(ev *eventflow.Event) { ev.Data = nil },
		"empty data":           func(ev *eventflow.Event) { ev.Data = []byte{} },
		"no attributes":        func(ev *eventflow.Event) { ev.Attributes = nil },
		"one attribute":        func(ev *eventflow.Event) { ev.Attributes = ev.Attributes[:1] },
		"a time of a milli":    func(ev *eventflow.Event) { ev.Time = time.UnixMilli(5).UTC() },
		"a long key":           func(ev *eventflow.Event) { ev.Key = strings.Repeat("k", 200) },
		"a key that is bytes":  func(ev *eventflow.Event) { ev.Key = "\xff" },
		"a long ID":            func(ev *eventflow.Event) { ev.ID = strings.Repeat("i", 200) },
		"content type of text": func(ev *eventflow.Event) { ev.DataContentType = "text/plain; charset=\"é\"" },
	} {
		for _, structured := range []bool{false, true} {
			ev := whole()
			change(&ev)
			m, err := servicebus.Encode(&ev, structured)
			require.NoError(t, err, name)
			require.LessOrEqual(t, len(m.Properties.MessageID.(string)), 128)
			require.LessOrEqual(t, len(*m.Properties.GroupID), 128)
			back := servicebus.Decode(received(t, m))
			if structured { // the format's own attributes come behind the properties
				require.ElementsMatch(t, ev.Attributes, back.Attributes, name)
				back.Attributes = ev.Attributes
			}
			require.Equal(t, ev, back, "%s, structured %v", name, structured)
		}
	}
}

func TestBothPrefixesOfCloudEventsAreRead(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"cloudEvents:", "cloudEvents_"} {
		ev := servicebus.Decode(received(t, &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: map[string]any{
				prefix + "specversion": "1.0", prefix + "id": "1", prefix + "source": "s", prefix + "type": "t", prefix + "time": time.UnixMilli(5),
				prefix + "partition": int32(3), prefix + "Bad": "x", "plain": uint8(1),
			},
			Body: azservicebus.AMQPAnnotatedMessageBody{Value: "a text"},
		}))
		require.Equal(t, eventflow.Event{ID: "1", Source: "s", Type: "t", Time: time.UnixMilli(5).UTC(), Data: []byte("a text"), Attributes: eventflow.Attributes{
			{Name: prefix + "Bad", Value: "x"}, {Name: "partition", Value: int32(3)}, {Name: "plain", Value: int32(1)},
		}}, ev)
	}
}

func TestAMessageThatIsNoCloudEventIsNamedByItsPlace(t *testing.T) {
	t.Parallel()
	label, contentType := "label", "application/json"
	for name, props := range map[string]map[string]any{
		"plain": nil, "another version": {"cloudEvents:specversion": "0.3", "cloudEvents:id": "1"}, "no version": {"cloudEvents:id": "1"},
	} {
		m := received(t, &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: props, Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("a"), []byte("b")}},
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{Subject: &label, ContentType: &contentType, MessageID: "m"},
		})
		ev := servicebus.Decode(m)
		require.Equal(t, "7@1700000000123", ev.ID, name)
		require.Equal(t, "servicebus/test/q", ev.Source)
		require.Equal(t, "label", ev.Subject)
		require.Equal(t, "ab", string(ev.Data))
		require.Equal(t, *m.EnqueuedTime, ev.Time)
		require.Len(t, ev.Attributes, len(props))
	}
}

func TestOtherBodiesAreJSON(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]azservicebus.AMQPAnnotatedMessageBody{
		`{"1":[true,"x"],"k":null}`: {Value: map[any]any{"k": nil, int64(1): []any{true, "x"}}},
		`[1,"a"]`:                   {Sequence: [][]any{{int64(1)}, {"a"}}},
		`5`:                         {Value: int64(5)},
		"bytes":                     {Value: []byte("bytes")},
	} {
		require.Equal(t, want, string(servicebus.Decode(received(t, &azservicebus.AMQPAnnotatedMessage{Body: body})).Data))
	}
}

// FuzzDecode: whatever a sender writes is an event, and that event can be published and read again.
func FuzzDecode(f *testing.F) {
	f.Add("1.0", "name", "value", `["x",["y","i","1"]]`, []byte("body"), "application/cloudevents+json", int64(5))
	f.Add("1.0", "cloudEvents:id", "\xff", `[["","t","2024-01-01T00:00:00.000000001Z"],"cloudEvents:x",1,null]`, []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`), "", int64(-1))
	f.Fuzz(func(t *testing.T, version, name, value, exact string, body []byte, contentType string, n int64) {
		m := &azservicebus.ReceivedMessage{ContentType: &contentType, ApplicationProperties: map[string]any{
			"cloudEvents:specversion": version, name: value, "eventflow-attributes": exact, "eventflow-failed": n, "eventflow-key": []byte(value),
			"cloudEvents:x": n, "t": time.Unix(n, n), "eventflow-redrive": value,
		}, RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{body}}}}
		ev := servicebus.Decode(m)
		require.NotEmpty(t, ev.Source)
		again, err := servicebus.Encode(&ev, false)
		require.NoError(t, err)
		if strings.ToValidUTF8(name, "") != name {
			return // no name of a property
		}
		back := servicebus.Decode(received(t, again))
		require.Equal(t, ev.Data, back.Data)
		require.Equal(t, ev.Key, back.Key)
		require.Len(t, back.Attributes, len(ev.Attributes))
		for i := range ev.Attributes {
			require.Equal(t, ev.Attributes[i].Name, back.Attributes[i].Name)
		}
	})
}

// TestEveryBodyCountsAsHeld: also those that are no data, as those of JMS's text messages.
func TestEveryBodyCountsAsHeld(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]azservicebus.AMQPAnnotatedMessageBody{
		"data":     {Data: [][]byte{make([]byte, 600), make([]byte, 400)}},
		"text":     {Value: strings.Repeat("x", 1000)},
		"bytes":    {Value: make([]byte, 1000)},
		"sequence": {Sequence: [][]any{{strings.Repeat("x", 996)}}}, // ["…"] in JSON
	} {
		require.Equal(t, 1000, servicebus.SizeOf(&azservicebus.ReceivedMessage{RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{Body: body}}), name)
	}
}
