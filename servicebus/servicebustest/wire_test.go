package servicebustest_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// wire is a client that says what it is told to, for what well-behaved clients never say.
type wire struct {
	*testing.T
	nc net.Conn
}

// newWire is a connection with an AMQP session of this window, which may do anything on the queue "q".
func newWire(t *testing.T, s *servicebustest.Server, window uint32) *wire {
	t.Helper()
	nc, err := s.Dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	w := &wire{t, nc}
	w.write([]byte("AMQP\x00\x01\x00\x00"))
	_, err = io.ReadFull(nc, make([]byte, 8))
	require.NoError(t, err)
	w.say(amqp.CodeOpen, nil, "me")
	w.hear(amqp.CodeOpen)
	w.say(amqp.CodeBegin, nil, nil, uint32(0), window, uint32(100))
	w.hear(amqp.CodeBegin)
	w.attach(0, true, "$cbs")
	w.flow(0, 100, 1, false)
	w.attach(1, false, "$cbs")
	w.hear(amqp.CodeFlow)
	token := sign(s.ConnectionString(), "sb://host/q", time.Now().Add(time.Hour))
	w.transfer(1, amqp.NewMessage(amqp.List{"id"}, amqp.Map{{Key: "operation", Value: "put-token"}, {Key: "name", Value: "sb://host/q"}}, token).Append(nil), false)
	w.hear(amqp.CodeDisposition)
	w.hear(amqp.CodeTransfer)
	return w
}

func (w *wire) write(b []byte) {
	w.Helper()
	_, err := w.nc.Write(b)
	require.NoError(w, err)
}

func (w *wire) say(code byte, payload []byte, fields ...any) {
	w.Helper()
	w.write(amqp.AppendFrame(nil, amqp.FrameAMQP, 0, amqp.Composite(code, fields...), payload))
}

// hear reads the next frame, which has to be of this kind.
func (w *wire) hear(code uint64) amqp.Frame {
	w.Helper()
	f, err := amqp.ReadFrame(w.nc, 1<<16)
	require.NoError(w, err)
	require.Equal(w, code, f.Code, "%v", f.Fields)
	return f
}

func (w *wire) attach(handle uint32, receiver bool, address string) {
	w.Helper()
	w.say(amqp.CodeAttach, nil, address, handle, receiver, nil, nil, amqp.Composite(amqp.CodeSource, address), amqp.Composite(amqp.CodeTarget, address))
	w.hear(amqp.CodeAttach)
}

func (w *wire) flow(handle, window, credit uint32, drain bool) {
	w.Helper()
	w.say(amqp.CodeFlow, nil, uint32(0), window, uint32(0), uint32(100), handle, uint32(0), credit, nil, drain)
}

func (w *wire) transfer(handle uint32, payload []byte, more bool) {
	w.Helper()
	w.say(amqp.CodeTransfer, payload, handle, uint32(0), []byte("tag"), uint32(0), false, more)
}

func wireServer(t *testing.T, messages int) *servicebustest.Server {
	t.Helper()
	s := servicebustest.New(t, servicebustest.Options{InMemory: true, MaxMessage: 1 << 10, Queues: map[string]servicebustest.Queue{"q": {}}})
	w := newWire(t, s, 100)
	w.attach(2, false, "q")
	w.hear(amqp.CodeFlow)
	for range messages {
		w.transfer(2, amqp.NewMessage(amqp.List{"id"}, nil, "x").Append(nil), false)
		w.hear(amqp.CodeDisposition)
	}
	return s
}

func TestNoMoreFramesComeThanTheClientsWindowTakes(t *testing.T) {
	t.Parallel()
	s := wireServer(t, 5)
	w := newWire(t, s, 3) // one is CBS' answer
	w.attach(2, true, "q")
	w.flow(2, 2, 5, false) // counted from the beginning: it takes one more
	w.hear(amqp.CodeTransfer)
	require.Equal(t, 1, s.Stats("q").Locked)
	w.flow(2, 4, 5, false) // two more
	w.hear(amqp.CodeTransfer)
	w.hear(amqp.CodeTransfer)
	require.Equal(t, 3, s.Stats("q").Locked)
}

func TestAWindowThatOpensIsForEveryLink(t *testing.T) {
	t.Parallel()
	s := wireServer(t, 1)
	w := newWire(t, s, 1)
	w.attach(2, true, "q")
	w.attach(3, true, "q/$DeadLetterQueue")
	w.flow(2, 1, 5, false) // the window is shut: CBS' answer was in it
	w.flow(3, 5, 5, false) // and is opened in a word about another link
	w.hear(amqp.CodeTransfer)
}

func TestDrainedCreditIsGone(t *testing.T) {
	t.Parallel()
	s := wireServer(t, 1)
	w := newWire(t, s, 100)
	w.attach(2, true, "q")
	w.flow(2, 100, 5, true)
	w.hear(amqp.CodeTransfer)
	f := w.hear(amqp.CodeFlow)
	require.Equal(t, []any{uint32(5), uint32(0)}, []any(f.Fields[5:7]), "delivery-count and credit")
	w.attach(3, false, "q")
	w.hear(amqp.CodeFlow)
	w.transfer(3, amqp.NewMessage(amqp.List{"id"}, nil, "y").Append(nil), false)
	w.hear(amqp.CodeDisposition) // and no transfer before it
	require.Equal(t, servicebustest.Stats{Active: 2, Locked: 1, Receivers: 1}, s.Stats("q"))
}

func TestAMessageThatGrowsBeyondTheLimitIsRefusedAtItsEnd(t *testing.T) {
	t.Parallel()
	s := wireServer(t, 0)
	w := newWire(t, s, 100)
	w.attach(2, false, "q")
	w.hear(amqp.CodeFlow)
	for range 100 {
		w.transfer(2, make([]byte, 1000), true)
	}
	w.transfer(2, nil, false)
	f := w.hear(amqp.CodeDisposition)
	rejected := amqp.At[*amqp.Described](f.Fields, 4)
	require.Equal(t, uint64(amqp.CodeRejected), rejected.Code())
	require.Equal(t, amqp.Symbol("amqp:link:message-size-exceeded"), amqp.At[*amqp.Described](rejected.Fields(), 0).Fields()[0])
	w.transfer(2, amqp.NewMessage(amqp.List{"id"}, nil, "x").Append(nil), false)
	require.Equal(t, uint64(amqp.CodeAccepted), amqp.At[*amqp.Described](w.hear(amqp.CodeDisposition).Fields, 4).Code())
	require.Equal(t, 1, s.Stats("q").Active)
}

func TestADispositionOfWhatNobodySentIsALostLock(t *testing.T) {
	t.Parallel()
	w := newWire(t, wireServer(t, 0), 100)
	w.say(amqp.CodeDisposition, nil, true, uint32(7), uint32(8), false, amqp.Composite(amqp.CodeAccepted))
	for range 2 {
		require.Equal(t, uint64(amqp.CodeRejected), amqp.At[*amqp.Described](w.hear(amqp.CodeDisposition).Fields, 4).Code())
	}
	w.say(amqp.CodeDisposition, nil, true, uint32(0), uint32(1<<31), false, amqp.Composite(amqp.CodeAccepted))
	w.hear(amqp.CodeClose)
}

func TestAHandleIsUsedOnce(t *testing.T) {
	t.Parallel()
	w := newWire(t, wireServer(t, 0), 100)
	w.say(amqp.CodeAttach, nil, "again", uint32(0), true)
	w.hear(amqp.CodeClose)
}

func TestTransactionsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWire(t, wireServer(t, 0), 100)
	w.say(amqp.CodeAttach, nil, "tx", uint32(2), false, nil, nil, amqp.Composite(amqp.CodeSource), amqp.Composite(amqp.CodeCoordinator))
	w.hear(amqp.CodeAttach)
	f := w.hear(amqp.CodeDetach)
	require.Equal(t, amqp.Symbol("amqp:not-implemented"), amqp.At[*amqp.Described](f.Fields, 2).Fields()[0])
}
