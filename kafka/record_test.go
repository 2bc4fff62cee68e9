package kafka_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

var topicID = [16]byte{1, 2, 3}

func header(name, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: name, Value: []byte(value)}
}

func TestPlainRecordIsAnEventWithTheIdentityOfItsPlace(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ev := kafka.Event("cluster", topicID, &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Value: []byte("v"), Timestamp: at,
		Headers: []kgo.RecordHeader{header("trace", "1"), header("content-type", "text/plain"), header("trace", "2")},
	})
	require.Equal(t, eventflow.Event{
		ID: "cluster/AQIDAAAAAAAAAAAAAAAAAA/3/42", Source: "kafka/orders", Key: "k", Data: []byte("v"), Time: at, DataContentType: "text/plain",
		Attributes: eventflow.Attributes{{Name: "trace", Value: []byte("1")}, {Name: "trace", Value: []byte("2")}},
	}, ev)
}

func TestSameOffsetOfARecreatedTopicIsAnotherEvent(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "orders", Offset: 7, Value: []byte("v")}
	ids := map[string]bool{}
	for _, id := range [][16]byte{{1}, {2}, {}} {
		for _, cluster := range []string{"a", "b"} {
			for _, topic := range []string{"orders", "invoices"} {
				r.Topic = topic
				ids[kafka.Event(cluster, id, r).ID] = true
			}
		}
	}
	// Topics with an ID of their own never share it; without one the name tells them apart.
	require.Len(t, ids, 2*(1+1+2))
	first := kafka.Event("a", topicID, r)
	require.Equal(t, first, kafka.Event("a", topicID, r), "the same record is the same event again")
}

func TestTombstoneHasNoData(t *testing.T) {
	t.Parallel()
	require.Nil(t, kafka.Event("c", topicID, &kgo.Record{Topic: "t", Key: []byte("k")}).Data)
	r, err := kafka.Record("t", false, eventflow.Event{ID: "1", Source: "s", Key: "k"})
	require.NoError(t, err)
	require.Nil(t, r.Value, "an event without data is one again")
}

func TestBinaryCloudEventKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	ev := kafka.Event("c", topicID, &kgo.Record{
		Topic: "t", Value: []byte(`{}`),
		Headers: []kgo.RecordHeader{
			header("ce_specversion", "1.0"), header("ce_type", "order.placed"), header("ce_source", "/shop"), header("ce_id", "7"),
			header("ce_time", "2026-01-02T03:04:05.000000006Z"), header("content-type", "application/json"), header("ce_subject", "s"),
			header("ce_dataschema", "https://example.com/schema"), header("ce_tenant", "a"), header("raw", "b"), header("ce_id", "8"),
		},
	})
	require.Equal(t, eventflow.Event{
		ID: "7", Source: "/shop", Type: "order.placed", Subject: "s", DataContentType: "application/json", DataSchema: "https://example.com/schema",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Data: []byte(`{}`),
		Attributes: eventflow.Attributes{{Name: "tenant", Value: "a"}, {Name: "raw", Value: []byte("b")}, {Name: "ce_id", Value: []byte("8")}},
	}, ev)
}

func TestHalfACloudEventIsAPlainRecord(t *testing.T) {
	t.Parallel()
	for name, hs := range map[string][]kgo.RecordHeader{
		"no id":              {header("ce_specversion", "1.0"), header("ce_source", "/shop"), header("ce_type", "t")},
		"empty id":           {header("ce_specversion", "1.0"), header("ce_source", "/shop"), header("ce_id", "")},
		"no source":          {header("ce_specversion", "1.0"), header("ce_id", "7")},
		"no version":         {header("ce_source", "/shop"), header("ce_id", "7")},
		"a version of later": {header("ce_specversion", "2.0"), header("ce_source", "/shop"), header("ce_id", "7")},
		"no JSON":            {header("content-type", "application/cloudevents+json")},
		"a batch":            {header("content-type", "application/cloudevents-batch+json")},
	} {
		ev := kafka.Event("c", topicID, &kgo.Record{Topic: "t", Offset: 1, Value: []byte("as it came"), Headers: hs})
		require.Equal(t, "kafka/t", ev.Source, name)
		require.Contains(t, ev.ID, "c/", name)
		require.Equal(t, "as it came", string(ev.Data), name)
		require.Empty(t, ev.Type, name)
	}
}

func TestStructuredCloudEventIsTakenApart(t *testing.T) {
	t.Parallel()
	ev := kafka.Event("c", topicID, &kgo.Record{
		Topic: "t", Key: []byte("k"), Headers: []kgo.RecordHeader{header("content-type", "application/cloudevents+json; charset=utf-8"), header("trace", "1")},
		Value: []byte(`{"specversion":"1.0","id":"7","source":"/shop","type":"order","tenant":"a","datacontenttype":"text/plain","data":"hello"}`),
	})
	ev.Time = time.Time{}
	require.Equal(t, eventflow.Event{
		ID: "7", Source: "/shop", Type: "order", DataContentType: "text/plain", Key: "k", Data: []byte("hello"),
		Attributes: eventflow.Attributes{{Name: "tenant", Value: "a"}, {Name: "trace", Value: []byte("1")}},
	}, ev)
}

func TestEventSurvivesBothModes(t *testing.T) {
	t.Parallel()
	want := eventflow.Event{
		ID: "7", Source: "/shop", Type: "order", Subject: "s", DataContentType: "text/plain", DataSchema: "https://example.com/s", Key: "k",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Data: []byte("hello"),
		Attributes: eventflow.Attributes{
			{Name: "tenant", Value: "a"}, {Name: "raw", Value: []byte{0, 0xff}}, {Name: "UPPER", Value: "b"}, {Name: "tenant", Value: "c"},
		},
	}
	for _, structured := range []bool{false, true} {
		r, err := kafka.Record("t", structured, want)
		require.NoError(t, err)
		require.Equal(t, "t", r.Topic)
		require.Equal(t, "k", string(r.Key))
		require.Equal(t, structured, bytes.HasPrefix(r.Value, []byte("{")))
		require.Equal(t, want, kafka.Event("c", topicID, r))
	}
}

func TestManyHeadersAreReadInOnePass(t *testing.T) {
	t.Parallel()
	const n = 200_000 // what fits into a record of 1 MiB; quadratic reading would take minutes
	hs := []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_id", "7"), header("ce_source", "s")}
	for range n {
		hs = append(hs, header("ce_id", ""))
	}
	require.Len(t, kafka.Event("c", topicID, &kgo.Record{Topic: "t", Headers: hs}).Attributes, n)
}

// Events that are read together share memory, and are the same as each read alone.
func TestRecordsReadTogetherAreTheSameEvents(t *testing.T) {
	t.Parallel()
	keys := [][]byte{nil, {}, []byte("k"), []byte(strings.Repeat("s", 64)), []byte(strings.Repeat("l", 65)), {0, 0xff}}
	cloudEvent := []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_id", "7"), header("ce_source", "s"), header("trace", "1")}
	headers := [][]kgo.RecordHeader{nil, cloudEvent, {header("trace", "1")}, {header("content-type", "application/cloudevents+json")}}
	var rs []*kgo.Record
	for i := range int64(200) {
		r := &kgo.Record{Topic: "t", Partition: int32(i % 3), Offset: i * i, Key: keys[i%6], Headers: headers[i/6%4]}
		if r.Value = []byte("v"); i/6%4 == 3 {
			r.Value = []byte(`{"specversion":"1.0","id":"8","source":"s","type":"t","data":"v"}`)
		}
		rs = append(rs, r)
	}
	for i, ev := range kafka.Events("c", topicID, rs) {
		require.Equal(t, kafka.Event("c", topicID, rs[i]), ev, i)
	}
}

//nolint:paralleltest // allocations are the process's
func TestPlainRecordsReadTogetherShareOneAllocation(t *testing.T) {
	r := &kgo.Record{Topic: "t", Key: []byte("key"), Value: []byte("v"), Offset: 1 << 40}
	read := kafka.Together("c", topicID, slices.Repeat([]*kgo.Record{r}, 32))
	require.InDelta(t, 1, testing.AllocsPerRun(100, read), 0)
}

//nolint:paralleltest // allocations are the process's
func TestPlainRecordCostsItsID(t *testing.T) {
	r := &kgo.Record{Topic: "t", Value: []byte("v"), Offset: 1 << 40}
	read := kafka.Reader("c", topicID, r)
	require.InDelta(t, 1, testing.AllocsPerRun(100, read), 0)
}

// FuzzRecordBecomesAnEvent feeds headers of any kind: there is always an identity, nothing of the payload is lost, and
// what is published again is the same event.
func FuzzRecordBecomesAnEvent(f *testing.F) {
	seed := func(value string, hs ...string) {
		f.Add([]byte("key"), []byte(value), []byte(strings.Join(hs, "\x00")))
	}
	seed("v")
	seed("v", "trace", "1", "trace", "2")
	seed("{}", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "ce_time", "2026-01-02T03:04:05Z", "ce_x", "y")
	seed("{}", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_time", "yesterday", "ce_id", "2")
	seed(`{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"a":1},"n":3}`, "content-type", "application/cloudevents+json", "ce_x", "y")
	seed(`{"specversion":"1.0"}`, "content-type", "application/cloudevents+json")
	f.Fuzz(func(t *testing.T, key, value, text []byte) {
		r := &kgo.Record{Topic: "t", Partition: 1, Offset: 2, Key: key, Value: value, Timestamp: time.UnixMilli(1700000000000).UTC()}
		for parts := bytes.Split(text, []byte{0}); len(parts) >= 2; parts = parts[2:] {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(parts[0]), Value: parts[1]})
		}
		ev := kafka.Event("c", topicID, r)
		require.NotEmpty(t, ev.ID)
		require.NotEmpty(t, ev.Source)
		require.Equal(t, string(key), ev.Key)
		require.False(t, ev.Time.IsZero())
		structured := ev.Source != "kafka/t" && !bytes.Equal(ev.Data, value)
		if !structured {
			require.Equal(t, value, ev.Data)
		}
		for _, a := range ev.Attributes {
			if _, raw := a.Value.([]byte); raw && (strings.HasPrefix(a.Name, "ce_") || a.Name == "content-type") {
				return // published again it is CloudEvents' header, which it looks like
			}
		}
		again, err := kafka.Record("t", false, ev)
		require.NoError(t, err)
		again.Partition, again.Offset, again.Timestamp = 9, binary.MaxVarintLen64, time.Now()
		back := kafka.Event("other", [16]byte{9}, again)
		require.True(t, ev.Time.Equal(back.Time), "%v became %v", ev.Time, back.Time)
		ev.Time, back.Time = time.Time{}, time.Time{}
		for i := range ev.Attributes { // of these headers know texts only
			if _, raw := ev.Attributes[i].Value.([]byte); !raw {
				ev.Attributes[i].Value = eventflow.Attributes{ev.Attributes[i]}.String(ev.Attributes[i].Name)
				back.Attributes[i].Value = ev.Attributes[i].Value
			}
		}
		require.Equal(t, ev, back)
	})
}
