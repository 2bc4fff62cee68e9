package amqp_test

import (
	"bytes"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

func values() []any {
	long := string(bytes.Repeat([]byte("x"), 300))
	return []any{
		nil, true, false, uint8(7), uint16(700), uint32(0), uint32(9), uint32(70000), uint64(0), uint64(9), uint64(1 << 40),
		int8(-7), int16(-700), int32(-70000), int64(-1 << 40), float32(1.5), 2.25, time.UnixMilli(1700000000123).UTC(), amqp.UUID{1, 2, 3},
		[]byte("short"), []byte(long), "short", long, amqp.Symbol("short"), amqp.Symbol(long), amqp.List{}, amqp.List{int32(1), nil, "x"},
		amqp.Map{{"b", int32(1)}, {amqp.Symbol("a"), amqp.List{"y"}}, {"b", int32(2)}}, amqp.Array{}, amqp.Array{"a", "b"},
		amqp.Array{int64(1), int64(2)}, amqp.Array{true, false}, amqp.Array{amqp.UUID{1}, amqp.UUID{2}}, amqp.Array{time.UnixMilli(5).UTC()},
		amqp.Raw{0x73, 0, 0, 0, 'x'}, &amqp.Described{uint64(0x24), amqp.List{}}, &amqp.Described{amqp.Symbol("a:b"), "v"},
	}
}

func TestEveryValueSurvives(t *testing.T) {
	t.Parallel()
	for _, v := range values() {
		got, rest, err := amqp.Decode(amqp.Append(nil, v))
		require.NoError(t, err, "%#v", v)
		require.Empty(t, rest)
		require.Equal(t, v, got)
	}
}

func TestAnArrayOfCompoundsIsPassedOn(t *testing.T) {
	t.Parallel()
	raw := []byte{0xe0, 4, 2, 0x45, 0, 0}[:4] // two empty lists
	raw[1] = 2
	v, rest, err := amqp.Decode(raw)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, amqp.Raw(raw), v)
}

// TestValuesAgreeWithTheVendorsCodec: what this package writes go-amqp reads, and the other way round.
func TestValuesAgreeWithTheVendorsCodec(t *testing.T) {
	t.Parallel()
	application := map[string]any{
		"bool": true, "u8": uint8(1), "u16": uint16(2), "u32": uint32(3), "u64": uint64(4), "i8": int8(-1), "i16": int16(-2), "i32": int32(-3),
		"i64": int64(-4), "f32": float32(1.5), "f64": 2.5, "string": "s", "time": time.UnixMilli(1700000000123), "uuid": goamqp.UUID{1, 2}, "nil": nil,
	}
	subject, group := "subject", "session"
	theirs := &goamqp.Message{
		Header:                &goamqp.MessageHeader{Durable: true, Priority: 9, TTL: time.Minute, DeliveryCount: 3},
		Annotations:           goamqp.Annotations{"x-opt-partition-key": "pk"},
		Properties:            &goamqp.MessageProperties{MessageID: "id", Subject: &subject, GroupID: &group},
		ApplicationProperties: application,
		Data:                  [][]byte{[]byte("one"), []byte("two")},
		Footer:                goamqp.Annotations{"f": int64(1)},
	}
	b, err := theirs.MarshalBinary()
	require.NoError(t, err)
	ours, err := amqp.ParseMessage(b)
	require.NoError(t, err)
	require.Equal(t, uint8(9), ours.Priority)
	require.Equal(t, time.Minute, ours.TTL)
	require.Equal(t, uint32(3), ours.DeliveryCount)
	require.Equal(t, "id", amqp.At[string](ours.Properties, amqp.MessageID))
	require.Equal(t, "session", amqp.At[string](ours.Properties, amqp.GroupID))
	require.Equal(t, "pk", ours.Annotations.Text("x-opt-partition-key"))
	require.Equal(t, [][]byte{[]byte("one"), []byte("two")}, ours.Data())
	require.Equal(t, int64(-4), ours.ApplicationProperties().Get("i64"))

	var back goamqp.Message
	ours.Application = ours.ApplicationProperties().Set("string", "changed")
	require.NoError(t, back.UnmarshalBinary(ours.Append(nil, amqp.Pair{Key: amqp.Symbol("x-opt-sequence-number"), Value: int64(5)})))
	application["string"] = "changed"
	require.Equal(t, application, back.ApplicationProperties)
	require.Equal(t, theirs.Header, back.Header)
	require.Equal(t, theirs.Data, back.Data)
	require.Equal(t, theirs.Footer, back.Footer)
	require.Equal(t, theirs.Properties, back.Properties)
	require.Equal(t, goamqp.Annotations{"x-opt-partition-key": "pk", "x-opt-sequence-number": int64(5)}, back.Annotations)

	value := &goamqp.Message{Value: map[string]any{"times": []time.Time{time.UnixMilli(5).UTC()}, "ids": []goamqp.UUID{{1}}, "list": []any{"a", int32(1)}}}
	b, err = value.MarshalBinary()
	require.NoError(t, err)
	ours, err = amqp.ParseMessage(b)
	require.NoError(t, err)
	m, ok := ours.Value().(amqp.Map)
	require.True(t, ok)
	require.Equal(t, amqp.Array{time.UnixMilli(5).UTC()}, m.Get("times"))
	require.Equal(t, amqp.Array{amqp.UUID{1}}, m.Get("ids"))
	require.Equal(t, amqp.List{"a", int32(1)}, m.Get("list"))

	var reply goamqp.Message
	require.NoError(t, reply.UnmarshalBinary(amqp.NewMessage(amqp.List{nil, nil, nil, nil, nil, "corr"}, amqp.Map{{"statusCode", int32(200)}},
		amqp.Map{{"expirations", amqp.Array{time.UnixMilli(5).UTC()}}, {"numbers", amqp.Array{int64(1)}}, {"names", amqp.Array{"a"}}}).Append(nil)))
	require.Equal(t, "corr", reply.Properties.CorrelationID)
	require.Equal(t, map[string]any{"statusCode": int32(200)}, reply.ApplicationProperties)
	require.Equal(t, map[string]any{"expirations": []time.Time{time.UnixMilli(5).UTC()}, "numbers": []int64{1}, "names": []string{"a"}}, reply.Value)
}

func TestMalformedInputIsRefused(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"empty":                       {},
		"unknown constructor":         {0x01},
		"string longer than input":    {0xa1, 9, 'x'},
		"list longer than input":      {0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1},
		"four billion nulls":          {0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40},
		"list of more than its bytes": {0xc0, 2, 200, 0x40},
		"key without a value":         {0xc1, 2, 1, 0x40},
		"descriptors all the way":     make([]byte, 100_000),
		"nested too deeply":           bytes.Repeat([]byte{0xc0, 3, 1}, 1000),
	} {
		_, _, err := amqp.Decode(b)
		require.ErrorIs(t, err, amqp.ErrMalformed, name)
	}
	for name, b := range map[string][]byte{
		"section without a descriptor": {0x40},
		"unknown section":              {0x00, 0x53, 0x60, 0x45},
		"header that is no list":       {0x00, 0x53, 0x70, 0x40},
		"annotations that are no map":  {0x00, 0x53, 0x72, 0x45},
		"properties before the header": {0x00, 0x53, 0x73, 0x45, 0x00, 0x53, 0x70, 0x45},
		"two headers":                  {0x00, 0x53, 0x70, 0x45, 0x00, 0x53, 0x70, 0x45},
		"header after the body":        {0x00, 0x53, 0x77, 0x40, 0x00, 0x53, 0x70, 0x45},
		"body cut off":                 {0x00, 0x53, 0x75, 0xa0, 5, 'x'},
		"body of descriptors":          append([]byte{0x00, 0x53, 0x75}, make([]byte, 100_000)...),
	} {
		_, err := amqp.ParseMessage(b)
		require.ErrorIs(t, err, amqp.ErrMalformed, name)
	}
}

func TestAFrameKeepsItsLimit(t *testing.T) {
	t.Parallel()
	b := amqp.AppendFrame(nil, amqp.FrameAMQP, 7, amqp.Composite(amqp.CodeTransfer, uint32(1)), []byte("payload"))
	f, err := amqp.ReadFrame(bytes.NewReader(b), len(b))
	require.NoError(t, err)
	require.Equal(t, amqp.Frame{Channel: 7, Code: amqp.CodeTransfer, Fields: amqp.List{uint32(1)}, Payload: []byte("payload")}, f)

	_, err = amqp.ReadFrame(bytes.NewReader(b), len(b)-1)
	require.ErrorIs(t, err, amqp.ErrMalformed)
	f, err = amqp.ReadFrame(bytes.NewReader([]byte{0, 0, 0, 8, 2, 0, 0, 0}), 512)
	require.NoError(t, err)
	require.Zero(t, f)
	for _, bad := range [][]byte{{0, 0, 0, 7, 2, 0, 0, 0}, {0, 0, 0, 8, 1, 0, 0, 0}, {0, 0, 0, 8, 9, 0, 0, 0}, {0, 0, 0, 8, 2, 5, 0, 0}, {0, 0, 0, 9, 2, 0, 0, 0, 0x40}} {
		_, err = amqp.ReadFrame(bytes.NewReader(bad), 512)
		require.ErrorIs(t, err, amqp.ErrMalformed, "% x", bad)
	}
}

// FuzzFrame: whatever comes, the reader returns, and what it took can be written again and read as the same.
func FuzzFrame(f *testing.F) {
	for _, v := range values() {
		f.Add(amqp.AppendFrame(nil, amqp.FrameAMQP, 0, amqp.Composite(amqp.CodeAttach, v), amqp.Append(nil, v)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := amqp.ReadFrame(bytes.NewReader(b), 1<<16)
		if err != nil || frame.Fields == nil {
			return
		}
		again := amqp.Append(nil, &amqp.Described{frame.Code, frame.Fields})
		v, rest, err := amqp.Decode(again)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, again, amqp.Append(nil, v))
	})
}

// FuzzMessage: a message that was taken can be delivered, and is then the same to whoever reads it.
func FuzzMessage(f *testing.F) {
	for _, v := range values() {
		f.Add(amqp.NewMessage(amqp.List{"id"}, amqp.Map{{"k", v}}, v).Append(nil, amqp.Pair{Key: amqp.Symbol("a"), Value: v}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := amqp.ParseMessage(b)
		if err != nil {
			return
		}
		once := m.Append(nil)
		n, err := amqp.ParseMessage(once)
		require.NoError(t, err)
		require.Equal(t, once, n.Append(nil))
		require.Len(t, n.Data(), len(m.Data()))
		n.Application = n.ApplicationProperties().Set("k", "v")
		o, err := amqp.ParseMessage(n.Append(nil))
		require.NoError(t, err)
		require.Equal(t, "v", o.ApplicationProperties().Text("k"))
	})
}
