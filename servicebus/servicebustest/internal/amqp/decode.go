package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrMalformed is matched by every error of a decoder.
var ErrMalformed = errors.New("malformed AMQP")

var errShort = fmt.Errorf("%w: it ends in the middle of a value", ErrMalformed)

const (
	// maxDepth bounds nesting; Service Bus' own messages need six.
	maxDepth = 32
	// spare is how many elements an array may have beyond its bytes: those of a type without a width.
	spare = 256
)

// Decode reads one value and returns what follows it. Binary values and Raw share b's memory.
func Decode(b []byte) (v any, rest []byte, err error) { return decode(b, maxDepth) }

func decode(b []byte, depth int) (any, []byte, error) {
	if len(b) == 0 {
		return nil, nil, errShort
	}
	if depth == 0 {
		return nil, nil, fmt.Errorf("%w: nested too deeply", ErrMalformed)
	}
	if b[0] != 0 {
		return decodeAs(b[0], b[1:], depth)
	}
	d, b, err := decode(b[1:], depth-1)
	if err != nil {
		return nil, nil, err
	}
	v, b, err := decode(b, depth-1)
	if err != nil {
		return nil, nil, err
	}
	return &Described{d, v}, b, nil
}

// cut splits off the bytes of a value with this constructor, without its size where it has one.
func cut(c byte, b []byte) (v, rest []byte, err error) {
	n, head := 0, 0
	switch c >> 4 {
	case 0x4:
	case 0x5:
		n = 1
	case 0x6:
		n = 2
	case 0x7:
		n = 4
	case 0x8:
		n = 8
	case 0x9:
		n = 16
	case 0xa, 0xc, 0xe:
		if len(b) < 1 {
			return nil, nil, errShort
		}
		n, head = int(b[0]), 1
	case 0xb, 0xd, 0xf:
		if len(b) < 4 {
			return nil, nil, errShort
		}
		n, head = int(binary.BigEndian.Uint32(b)), 4
	default:
		return nil, nil, fmt.Errorf("%w: constructor %#x", ErrMalformed, c)
	}
	if len(b)-head < n {
		return nil, nil, errShort
	}
	return b[head : head+n : head+n], b[head+n:], nil
}

// skip passes over one value without looking into it.
func skip(b []byte, depth int) (rest []byte, err error) {
	for ; len(b) > 0 && depth > 0; depth-- {
		if b[0] != 0 {
			_, rest, err = cut(b[0], b[1:])
			return rest, err
		}
		if b, err = skip(b[1:], depth-1); err != nil { // the descriptor; what it describes comes in the next turn
			return nil, err
		}
	}
	return nil, errShort
}

//nolint:cyclop // one case for each constructor
func decodeAs(c byte, b []byte, depth int) (any, []byte, error) {
	v, rest, err := cut(c, b)
	if err != nil {
		return nil, nil, err
	}
	be := binary.BigEndian
	switch c {
	case 0x40:
		return nil, rest, nil
	case 0x41:
		return true, rest, nil
	case 0x42:
		return false, rest, nil
	case 0x43:
		return uint32(0), rest, nil
	case 0x44:
		return uint64(0), rest, nil
	case 0x45:
		return List{}, rest, nil
	case 0x50:
		return v[0], rest, nil
	case 0x51:
		return int8(v[0]), rest, nil
	case 0x52:
		return uint32(v[0]), rest, nil
	case 0x53:
		return uint64(v[0]), rest, nil
	case 0x54:
		return int32(int8(v[0])), rest, nil
	case 0x55:
		return int64(int8(v[0])), rest, nil
	case 0x56:
		return v[0] != 0, rest, nil
	case 0x60:
		return be.Uint16(v), rest, nil
	case 0x61:
		return int16(be.Uint16(v)), rest, nil
	case 0x70:
		return be.Uint32(v), rest, nil
	case 0x71:
		return int32(be.Uint32(v)), rest, nil
	case 0x72:
		return math.Float32frombits(be.Uint32(v)), rest, nil
	case 0x80:
		return be.Uint64(v), rest, nil
	case 0x81:
		return int64(be.Uint64(v)), rest, nil
	case 0x82:
		return math.Float64frombits(be.Uint64(v)), rest, nil
	case 0x83:
		return time.UnixMilli(int64(be.Uint64(v))).UTC(), rest, nil
	case 0x98:
		return UUID(v), rest, nil
	case 0x73, 0x74, 0x84, 0x94: // char and the decimals are only passed on
		return Raw(append([]byte{c}, v...)), rest, nil
	case 0xa0, 0xb0:
		return v, rest, nil
	case 0xa1, 0xb1:
		return string(v), rest, nil
	case 0xa3, 0xb3:
		return Symbol(v), rest, nil
	case 0xc0, 0xd0, 0xc1, 0xd1, 0xe0, 0xf0:
		out, err := decodeCompound(c, v, depth-1)
		if a, ok := out.(Array); ok && !a.plain() {
			return Raw(append([]byte{c}, b[:len(b)-len(rest)]...)), rest, err
		}
		return out, rest, err
	}
	return nil, nil, fmt.Errorf("%w: constructor %#x", ErrMalformed, c)
}

func decodeCompound(c byte, v []byte, depth int) (any, error) {
	width := 1
	if c&0x10 != 0 {
		width = 4
	}
	if len(v) < width {
		return nil, errShort
	}
	count := int(v[0])
	if width == 4 {
		count = int(binary.BigEndian.Uint32(v))
	}
	v = v[width:]
	array := c>>4 >= 0xe
	if depth <= 0 || count > len(v)+spare || !array && count > len(v) {
		return nil, fmt.Errorf("%w: %d elements in %d bytes", ErrMalformed, count, len(v))
	}
	items := make([]any, count)
	var err error
	if array {
		err = decodeElements(items, v, depth)
	} else {
		for i := range items {
			if items[i], v, err = decode(v, depth); err != nil {
				break
			}
		}
	}
	switch {
	case err != nil:
		return nil, err
	case array:
		return Array(items), nil
	case c&0x0f == 0:
		return List(items), nil
	case count%2 != 0:
		return nil, fmt.Errorf("%w: a key without a value", ErrMalformed)
	}
	m := make(Map, count/2)
	for i := range m {
		m[i] = Pair{items[2*i], items[2*i+1]}
	}
	return m, nil
}

// decodeElements reads an array's, which share one constructor, described or not.
func decodeElements(items []any, v []byte, depth int) (err error) {
	if len(v) == 0 {
		return errShort
	}
	var descriptor any
	described := v[0] == 0
	if described {
		if descriptor, v, err = decode(v[1:], depth); err != nil {
			return err
		}
		if len(v) == 0 {
			return errShort
		}
	}
	c := v[0]
	v = v[1:]
	for i := range items {
		if items[i], v, err = decodeAs(c, v, depth); err != nil {
			return err
		}
		if described {
			items[i] = &Described{descriptor, items[i]}
		}
	}
	return nil
}
