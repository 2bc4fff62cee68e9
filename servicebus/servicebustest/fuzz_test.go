package servicebustest

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// FuzzConnection gives a server whatever frames after a beginning that is right, on a connection that may do anything.
// It must neither panic nor hang, and it must still serve others.
func FuzzConnection(f *testing.F) {
	frame := func(code byte, payload []byte, fields ...any) []byte {
		return amqp.AppendFrame(nil, amqp.FrameAMQP, 0, amqp.Composite(code, fields...), payload)
	}
	source := func(address string, filter any) amqp.Raw {
		return amqp.Composite(amqp.CodeSource, address, nil, nil, nil, nil, nil, nil, filter)
	}
	target := func(address string) amqp.Raw { return amqp.Composite(amqp.CodeTarget, address) }
	attach := func(handle uint32, receiver bool, address string, filter any) []byte {
		return frame(amqp.CodeAttach, nil, "link", handle, receiver, uint8(2), uint8(1), source(address, filter), target(address))
	}
	flow := func(handle uint32) []byte {
		return frame(amqp.CodeFlow, nil, uint32(0), uint32(5000), uint32(0), uint32(5000), handle, uint32(0), uint32(10), nil, true, true)
	}
	transfer := func(handle uint32, m *amqp.Message) []byte {
		return frame(amqp.CodeTransfer, m.Append(nil), handle, uint32(0), []byte("tag"), uint32(0), false, false)
	}
	message := func() *amqp.Message {
		return amqp.NewMessage(amqp.List{"id", nil, nil, nil, nil, nil, nil, nil, nil, nil, "session"}, amqp.Map{{Key: "k", Value: int32(1)}}, "body")
	}
	any0 := amqp.Map{{Key: amqp.Symbol(sessionFilter), Value: nil}}
	accept := frame(amqp.CodeDisposition, nil, true, uint32(0), uint32(3), false, amqp.Composite(amqp.CodeAccepted))
	postpone := frame(amqp.CodeDisposition, nil, true, uint32(0), nil, true, amqp.Composite(amqp.CodeModified, true, true))
	f.Add(bytes.Join([][]byte{attach(0, false, "q", nil), transfer(0, message()), attach(1, true, "q", nil), flow(1), accept}, nil))
	f.Add(bytes.Join([][]byte{attach(0, false, "s", nil), transfer(0, message()), attach(1, true, "s", any0), flow(1), postpone}, nil))
	f.Add(bytes.Join([][]byte{attach(0, true, "s", any0), frame(amqp.CodeDetach, nil, uint32(0), true), frame(amqp.CodeEnd, nil), frame(amqp.CodeClose, nil)}, nil))
	f.Add(bytes.Join([][]byte{attach(0, false, "t", nil), transfer(0, message()), attach(1, true, "t/Subscriptions/a/$DeadLetterQueue", nil), flow(1)}, nil))
	for op := range operations {
		ask := amqp.NewMessage(amqp.List{"id"}, amqp.Map{{Key: "operation", Value: op}}, amqp.Map{
			{Key: "messages", Value: amqp.List{amqp.Map{{Key: "message", Value: message().Append(nil)}}}}, {Key: "sequence-numbers", Value: amqp.Array{int64(1)}},
			{Key: "lock-tokens", Value: amqp.Array{amqp.UUID{}}}, {Key: "session-id", Value: "session"}, {Key: "from-sequence-number", Value: int64(-1)},
			{Key: "message-count", Value: int32(-1)}, {Key: "skip", Value: int32(-1)}, {Key: "top", Value: int32(5)}, {Key: "disposition-status", Value: "completed"},
		})
		for _, e := range []string{"q", "s"} {
			f.Add(bytes.Join([][]byte{
				attach(0, false, e, nil), transfer(0, message()), attach(1, true, e+"/$management", nil), flow(1), attach(2, false, e+"/$management", nil), transfer(2, ask),
			}, nil))
		}
	}
	s := New(f, Options{
		InMemory: true, MaxMessage: minMessage, Queues: map[string]Queue{"q": {MaxBytes: 1 << 20, DuplicateWindow: time.Second}, "s": {MaxBytes: 1 << 20, RequiresSession: true}},
		Topics: map[string]Topic{"t": {Subscriptions: map[string]Subscription{"a": {}}}},
	})
	begin := bytes.Join([][]byte{amqpHeader, frame(amqp.CodeOpen, nil, "me"), frame(amqp.CodeBegin, nil, nil, uint32(0), uint32(5000), uint32(5000))}, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := s.Dial(t.Context())
		require.NoError(t, err)
		s.mu.Lock()
		for c := range s.conns {
			c.claims[""] = claim{Manage, time.Now().Add(time.Hour)}
		}
		s.mu.Unlock()
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, nc)
			close(read)
		}()
		_, _ = nc.Write(begin)
		_, _ = nc.Write(b)
		_ = nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, _ = nc.Write(frame(amqp.CodeClose, nil))
		_ = nc.Close()
		<-read
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns) == 0
		}, 10*time.Second, 100*time.Microsecond, "the connection's goroutines have ended")
	})
}
