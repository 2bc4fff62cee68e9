package amqp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Frame types.
const (
	FrameAMQP = 0
	FrameSASL = 1
)

// frameHead is the length of a frame's header.
const frameHead = 8

// Frame is one frame as it was read. Its Code is 0 for an empty one, which only says that its sender is alive.
type Frame struct {
	Type    byte
	Channel uint16
	Code    uint64
	Fields  List
	Payload []byte // what follows the performative: a message, or a part of one
}

// ReadFrame reads one frame of at most limit bytes.
func ReadFrame(r io.Reader, limit int) (Frame, error) {
	var h [frameHead]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(h[:])
	if size < frameHead || uint64(size) > uint64(limit) {
		return Frame{}, fmt.Errorf("%w: a frame of %d bytes, where %d are the limit", ErrMalformed, size, limit)
	}
	body := make([]byte, size-frameHead)
	if _, err := io.ReadFull(r, body); err != nil {
		return Frame{}, err
	}
	return parse(h, body)
}

func parse(h [frameHead]byte, body []byte) (Frame, error) {
	f := Frame{Type: h[5], Channel: binary.BigEndian.Uint16(h[6:])}
	extended := int(h[4])*4 - frameHead
	if extended < 0 || extended > len(body) || f.Type > FrameSASL {
		return Frame{}, fmt.Errorf("%w: frame header % x", ErrMalformed, h)
	}
	if body = body[extended:]; len(body) == 0 {
		return f, nil
	}
	v, rest, err := Decode(body)
	if err != nil {
		return Frame{}, err
	}
	d, ok := v.(*Described)
	if !ok || d.Code() == 0 {
		return Frame{}, fmt.Errorf("%w: a frame without a performative", ErrMalformed)
	}
	f.Code, f.Fields, f.Payload = d.Code(), d.Fields(), rest
	return f, nil
}

// AppendFrame writes a frame: a performative, encoded, and the payload of a transfer.
func AppendFrame(b []byte, typ byte, channel uint16, performative, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(frameHead+len(performative)+len(payload)))
	b = append(b, 2, typ)
	b = binary.BigEndian.AppendUint16(b, channel)
	return append(append(b, performative...), payload...)
}
