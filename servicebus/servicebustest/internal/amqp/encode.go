package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Append encodes a value. A value of a type that AMQP has no place for is a fault of the caller, and panics.
func Append(b []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case nil:
		return append(b, 0x40)
	case bool:
		if v {
			return append(b, 0x41)
		}
		return append(b, 0x42)
	case uint32:
		switch {
		case v == 0:
			return append(b, 0x43)
		case v <= math.MaxUint8:
			return append(b, 0x52, byte(v))
		}
	case uint64:
		switch {
		case v == 0:
			return append(b, 0x44)
		case v <= math.MaxUint8:
			return append(b, 0x53, byte(v))
		}
	case Raw:
		return append(b, v...)
	case *Described:
		return Append(Append(append(b, 0), v.Descriptor), v.Value)
	case List:
		if len(v) == 0 {
			return append(b, 0x45)
		}
		out, mark := open(b, 0xd0, len(v))
		for _, it := range v {
			out = Append(out, it)
		}
		return shut(out, mark)
	case Map:
		out, mark := open(b, 0xd1, 2*len(v))
		for _, p := range v {
			out = Append(Append(out, p.Key), p.Value)
		}
		return shut(out, mark)
	case Array:
		return appendArray(b, v)
	case string:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa1, byte(len(v))), v...)
		}
	case Symbol:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa3, byte(len(v))), v...)
		}
	case []byte:
		if len(v) <= math.MaxUint8 {
			return append(append(b, 0xa0, byte(len(v))), v...)
		}
		b = be.AppendUint32(append(b, 0xb0), uint32(len(v)))
		return append(b, v...)
	}
	c := constructor(v)
	return appendBare(append(b, c), v)
}

// AppendComposite encodes a described list: a performative, an outcome, an error.
func AppendComposite(b []byte, code byte, fields ...any) []byte {
	return Append(append(b, 0x00, 0x53, code), List(fields))
}

// Composite is AppendComposite into a slice of its own.
func Composite(code byte, fields ...any) Raw { return AppendComposite(nil, code, fields...) }

// constructor is the one with which every value of v's type can be written, as an array needs it.
func constructor(v any) byte {
	switch v.(type) {
	case bool:
		return 0x56
	case uint8:
		return 0x50
	case uint16:
		return 0x60
	case uint32:
		return 0x70
	case uint64:
		return 0x80
	case int8:
		return 0x51
	case int16:
		return 0x61
	case int32:
		return 0x71
	case int64:
		return 0x81
	case float32:
		return 0x72
	case float64:
		return 0x82
	case time.Time:
		return 0x83
	case UUID:
		return 0x98
	case []byte:
		return 0xb0
	case string:
		return 0xb1
	case Symbol:
		return 0xb3
	}
	panic(fmt.Sprintf("amqp: no encoding for %T", v))
}

// appendBare writes a value without its constructor, which is constructor's.
func appendBare(b []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case uint8:
		return append(b, v)
	case uint16:
		return be.AppendUint16(b, v)
	case uint32:
		return be.AppendUint32(b, v)
	case uint64:
		return be.AppendUint64(b, v)
	case int8:
		return append(b, byte(v))
	case int16:
		return be.AppendUint16(b, uint16(v))
	case int32:
		return be.AppendUint32(b, uint32(v))
	case int64:
		return be.AppendUint64(b, uint64(v))
	case float32:
		return be.AppendUint32(b, math.Float32bits(v))
	case float64:
		return be.AppendUint64(b, math.Float64bits(v))
	case time.Time:
		return be.AppendUint64(b, uint64(v.UnixMilli()))
	case UUID:
		return append(b, v[:]...)
	case []byte:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case string:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case Symbol:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	}
	panic(fmt.Sprintf("amqp: no encoding for %T", v))
}

// plain reports whether appendArray can write a. A decoder's elements are of one constructor, so the first tells.
func (a Array) plain() bool {
	if len(a) == 0 {
		return true
	}
	switch a[0].(type) {
	case nil, List, Map, Array, *Described, Raw:
		return false
	}
	return true
}

func appendArray(b []byte, a Array) []byte {
	b, mark := open(b, 0xf0, len(a))
	if len(a) == 0 {
		return shut(append(b, 0x40), mark)
	}
	b = append(b, constructor(a[0]))
	for _, v := range a {
		b = appendBare(b, v)
	}
	return shut(b, mark)
}

// open begins a compound value; shut fills in its size.
func open(b []byte, constructor byte, count int) (out []byte, mark int) {
	b = append(b, constructor, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, uint32(count)), len(b)
}

func shut(b []byte, mark int) []byte {
	binary.BigEndian.PutUint32(b[mark-4:], uint32(len(b)-mark))
	return b
}
