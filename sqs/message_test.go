package sqs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// asMessage is what SQS makes of a message that is sent, and fails the test when SQS would refuse it.
func asMessage(t *testing.T, out outgoing) types.Message {
	t.Helper()
	require.True(t, clean(out.body), "%q", out.body)
	require.LessOrEqual(t, len(out.attributes), mostAttributes)
	size := len(out.body)
	for name, v := range out.attributes {
		size += len(name) + len(*v.DataType) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
		require.True(t, legalName(name), name)
		require.NotEqualf(t, clean(aws.ToString(v.StringValue)), len(v.BinaryValue) > 0, "%s: %q %v", name, aws.ToString(v.StringValue), v.BinaryValue)
	}
	require.Equal(t, size, out.size)
	m := types.Message{
		Body: &out.body, MessageAttributes: out.attributes, MessageId: aws.String("m-1"),
		Attributes: map[string]string{"ApproximateReceiveCount": "3", "SentTimestamp": "1700000000123"},
	}
	if out.group != "" {
		require.True(t, isNumber(out.group) && isNumber(out.dedup), "%q %q", out.group, out.dedup)
		m.Attributes["MessageGroupId"] = out.group
	}
	return m
}

func roundTrip(t *testing.T, ev eventflow.Event, fifo, structured bool) eventflow.Event {
	t.Helper()
	m := asMessage(t, encode(&ev, fifo, structured))
	var back eventflow.Event
	in := decode(&m, "arn:queue", &back)
	require.Equal(t, 3, in.receives)
	return back
}

func whole() eventflow.Event {
	return eventflow.Event{
		ID: "e-1", Source: "/here", Type: "thing.done", Subject: "s", DataContentType: "text/plain", DataSchema: "https://example.com/s",
		Key: "k", Time: time.Date(2024, 2, 29, 1, 2, 3, 456789012, time.UTC), Data: []byte("data"),
	}
}

func TestEventIsTheSameWhenItComesBack(t *testing.T) {
	t.Parallel()
	many := make(eventflow.Attributes, 30)
	for i := range many {
		many[i] = eventflow.Attribute{Name: fmt.Sprintf("n%d", i*7%30), Value: fmt.Sprint(i)}
	}
	for name, change := range map[string]func(*eventflow.Event){
		"whole":           func(*eventflow.Event) {},
		"no data":         func(ev *eventflow.Event) { ev.Data = nil },
		"empty data":      func(ev *eventflow.Event) { ev.Data = []byte{} },
		"the stand-in":    func(ev *eventflow.Event) { ev.Data = []byte(noBody) },
		"no UTF-8":        func(ev *eventflow.Event) { ev.Data = []byte{0xff, 0xfe} },
		"NUL":             func(ev *eventflow.Event) { ev.Data = []byte("a\x00b") },
		"odd characters":  func(ev *eventflow.Event) { ev.Subject, ev.ID = "\x00\ufffe", " \x01" },
		"odd key":         func(ev *eventflow.Event) { ev.Key = "a b\xff" },
		"long key":        func(ev *eventflow.Event) { ev.Key = strings.Repeat("k", 129) },
		"no key":          func(ev *eventflow.Event) { ev.Key = "" },
		"many extensions": func(ev *eventflow.Event) { ev.Attributes = many },
		"sorted extensions": func(ev *eventflow.Event) {
			ev.Attributes = eventflow.Attributes{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}
		},
		"order": func(ev *eventflow.Event) {
			ev.Attributes = eventflow.Attributes{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}}
		},
		"repeated": func(ev *eventflow.Event) {
			ev.Attributes = eventflow.Attributes{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}, {Name: "b", Value: "3"}, {Name: "A-Z", Value: "4"}}
		},
		"odd names": func(ev *eventflow.Event) {
			for _, n := range []string{"", "ce-id", "ce-x", "ce_x", "cloudEvents_x", "content-type", "contentType", "Content-Type", "eventflow",
				"AWS.x", "amazon.y", "a..b", ".a", "a.", "a b", "id", "data", "\xff", strings.Repeat("n", 300)} {
				ev.Attributes = append(ev.Attributes, eventflow.Attribute{Name: n, Value: "of " + n})
			}
		},
		"types": func(ev *eventflow.Event) {
			ev.Attributes = eventflow.Attributes{
				{Name: "t", Value: true},
				{Name: "s", Value: "true"},
				{Name: "i", Value: int32(math.MinInt32)},
				{Name: "l", Value: int64(math.MaxInt64)},
				{Name: "f", Value: math.MaxFloat64},
				{Name: "inf", Value: math.Inf(-1)},
				{Name: "b", Value: []byte{0, 255}},
				{Name: "e", Value: []byte{}},
				{Name: "n", Value: ""},
				{Name: "m", Value: time.Date(2150, 1, 1, 0, 0, 0, 1, time.UTC)},
				{Name: "u", Value: [16]byte{1, 15: 0xff}},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fifo := range []bool{false, true} {
				for _, structured := range []bool{false, true} {
					ev := whole()
					change(&ev)
					back := roundTrip(t, ev, fifo, structured)
					if structured && len(ev.Attributes) > 0 {
						require.ElementsMatch(t, ev.Attributes, back.Attributes) // those of the body come first
						back.Attributes = ev.Attributes
					}
					require.Equal(t, ev, back, "fifo %v, structured %v", fifo, structured)
				}
			}
		})
	}
}

func TestIncompleteEventKeepsWhatItHasAndGetsTheMessagesIdentity(t *testing.T) {
	t.Parallel()
	back := roundTrip(t, eventflow.Event{Type: "t", Data: []byte("x")}, false, true)
	require.Equal(t, eventflow.Event{
		ID: "m-1", Source: "arn:queue", Type: "t", Data: []byte("x"), Time: time.UnixMilli(1700000000123).UTC(),
	}, back)
}

func TestMessageOfAnotherClientIsRead(t *testing.T) {
	t.Parallel()
	attribute := func(kind, v string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: &kind, StringValue: &v}
	}
	m := types.Message{
		Body: aws.String(`{"a":1}`), MessageId: aws.String("m-1"), Attributes: map[string]string{"MessageGroupId": "g"},
		MessageAttributes: map[string]types.MessageAttributeValue{
			"ContentType": attribute("String", "application/json"), "n": attribute("Number", "7"), "f": attribute("Number", "1.5"),
			"d": attribute("Number", "1.50"), "eventflow": attribute("String", "somebody's own"), "custom": attribute("String.mine", "x"),
			"ce_id": attribute("String", "1"), "cloudEvents_source": attribute("String", "/s"), "ce-time": attribute("String", "noon"),
			"ce-traceparent": attribute("String", "00"),
		},
	}
	var ev eventflow.Event
	in := decode(&m, "arn:queue", &ev)
	require.Equal(t, "g", in.group)
	require.Equal(t, eventflow.Event{
		ID: "1", Source: "/s", DataContentType: "application/json", Key: "g", Data: []byte(`{"a":1}`),
		Attributes: eventflow.Attributes{
			{Name: "ce-time", Value: "noon"},
			{Name: "traceparent", Value: "00"},
			{Name: "custom", Value: "x"},
			{Name: "d", Value: "1.50"},
			{Name: "eventflow", Value: "somebody's own"},
			{Name: "f", Value: 1.5},
			{Name: "n", Value: int64(7)},
		},
	}, ev)
}

func TestExtensionsAreAttributesThatOthersSee(t *testing.T) {
	t.Parallel()
	ev := whole()
	ev.DataSchema, ev.Subject = "", ""
	ev.Attributes = eventflow.Attributes{{Name: "X-Header", Value: "h"}, {Name: "traceparent", Value: "00"}, {Name: "x", Value: int32(7)}}
	out := encode(&ev, true, false)
	require.NotContains(t, out.attributes, moreName)
	require.Equal(t, "00", *out.attributes["ce-traceparent"].StringValue)
	require.Equal(t, "Number.int32", *out.attributes["ce-x"].DataType)
	require.Equal(t, "h", *out.attributes["X-Header"].StringValue)
	require.Equal(t, "text/plain", *out.attributes["content-type"].StringValue)
	require.Equal(t, "1.0", *out.attributes["ce-specversion"].StringValue)
	require.Equal(t, "data", out.body)
}

func TestDeduplicationIDsDifferBySource(t *testing.T) {
	t.Parallel()
	a, b := whole(), whole()
	b.Source = "/there"
	require.NotEqual(t, dedupOf(&a), dedupOf(&b))
	same, none, other := whole(), eventflow.Event{}, eventflow.Event{}
	require.Equal(t, dedupOf(&a), dedupOf(&same))
	require.NotEqual(t, dedupOf(&none), dedupOf(&other), "events without an ID are all different")
}

func TestSizeIsWhatSQSCounts(t *testing.T) {
	t.Parallel()
	ev := eventflow.Event{ID: "1", Data: bytes.Repeat([]byte("x"), 100)}
	out := encode(&ev, false, false)
	require.Equal(t, 100+len("ce-id")+len("String")+len("1"), out.size)
	ev.Data = make([]byte, 99)
	require.Greater(t, encode(&ev, false, false).size, base64.StdEncoding.EncodedLen(99))
}

func TestMarkerThatLiesIsNoBody(t *testing.T) {
	t.Parallel()
	more := `{"body":"base64","rest":[{"at":-5,"name":"a","type":"uuid","value":"zz"},{"at":1000,"name":"b","value":"v"}]}`
	m := types.Message{
		Body: aws.String("not base64!"), MessageId: aws.String("m"),
		MessageAttributes: map[string]types.MessageAttributeValue{moreName: {DataType: aws.String("String"), StringValue: &more}},
	}
	var ev eventflow.Event
	decode(&m, "q", &ev)
	require.Equal(t, "not base64!", string(ev.Data))
	require.Equal(t, eventflow.Attributes{{Name: "a", Value: "zz"}, {Name: "b", Value: "v"}}, ev.Attributes)
}

// Bytes are looked at eight at a time, strings one after another: what they find is the same, wherever it is.
func TestBytesAreCheckedAsStringsAre(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 20; size++ {
		for at := range size {
			for c := range 256 {
				b := bytes.Repeat([]byte("~ \x7f"), size)[:size]
				b[at] = byte(c)
				require.Equalf(t, clean(string(b)), cleanBytes(b), "%q", b)
			}
		}
	}
	text := "plain ASCII, then grüße, \u2028, \uffff and more"
	for from := range len(text) {
		require.Equal(t, clean(text[from:]), cleanBytes([]byte(text[from:])), text[from:])
	}
}

func TestAKeyIsTheSameInJSONHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for _, key := range []text{text([]byte{byte(c)}), text([]byte{'k', byte(c), '1'})} {
			m := more{Key: &key}
			want, err := json.Marshal(&m)
			require.NoError(t, err)
			require.Equal(t, string(want), m.String())
		}
	}
	none := text("")
	require.Equal(t, `{"key":""}`, (&more{Key: &none}).String())
	require.Equal(t, `{"body":"none","key":""}`, (&more{Body: bodyNone, Key: &none}).String())
}

// Whatever the event, SQS takes its message, and it comes back as it was.
func FuzzMessage(f *testing.F) {
	f.Add("e-1", "/s", "t", "sub", "k", []byte("data"), "n", "v", "m", []byte{1}, true, false)
	f.Add("\x00", "\xff", "", "\ufffe", "", []byte{}, "ce-id", "", "", []byte(nil), false, true)
	f.Fuzz(func(t *testing.T, id, source, kind, subject, key string, data []byte, n1, v1, n2 string, v2 []byte, fifo, structured bool) {
		ev := eventflow.Event{
			ID: id, Source: source, Type: kind, Subject: subject, Key: key, Data: data, Time: time.Unix(1, 2).UTC(),
			Attributes: eventflow.Attributes{{Name: n1, Value: v1}, {Name: n2, Value: v2}, {Name: n1, Value: int32(len(v1))}},
		}
		if v2 == nil {
			ev.Attributes[1].Value = true
		}
		back := roundTrip(t, ev, fifo, structured)
		if ev.ID == "" {
			ev.ID = "m-1"
		}
		if ev.Source == "" {
			ev.Source = "arn:queue"
		}
		require.ElementsMatch(t, ev.Attributes, back.Attributes)
		back.Attributes = ev.Attributes
		require.Equal(t, ev, back)
	})
}

// Whatever a message says, it becomes an event that can be published again.
func FuzzForeignMessage(f *testing.F) {
	f.Add("body", "eventflow", "String", `{"body":"none","key":{"base64":"AA=="},"order":["a"],"rest":[{"name":"a","value":"b"}]}`, "ce-id", "Number.int32", "5")
	f.Add(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`, "content-type", "String", "application/cloudevents+json", "x", "Binary.y", "")
	f.Fuzz(func(t *testing.T, body, n1, t1, v1, n2, t2, v2 string) {
		m := types.Message{
			Body: &body, MessageId: aws.String("m-1"),
			MessageAttributes: map[string]types.MessageAttributeValue{n1: {DataType: &t1, StringValue: &v1}, n2: {DataType: &t2, StringValue: &v2}},
		}
		var ev eventflow.Event
		decode(&m, "arn:queue", &ev)
		require.NotEmpty(t, ev.ID)
		require.NotEmpty(t, ev.Source)
		asMessage(t, encode(&ev, true, false))
	})
}
