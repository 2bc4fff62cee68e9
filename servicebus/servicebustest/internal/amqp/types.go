package amqp

import (
	"slices"
	"time"
)

// A value is one of nil, bool, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float32, float64, time.Time
// (AMQP's timestamp, in milliseconds), UUID, []byte, string, Symbol, List, Map, Array, *Described and Raw.
type (
	// Symbol is a string from a small known set.
	Symbol string

	// UUID is in the byte order of RFC 4122.
	UUID [16]byte

	// List is a sequence of values of any type; performatives and outcomes are described lists.
	List []any

	// Map keeps its order and, as AMQP does not forbid it on the wire, keys that repeat.
	Map []Pair

	// Array is a sequence of values of one type, which is none of nil, List, Map, Array, *Described and Raw.
	Array []any

	// Raw is an encoded value: what was encoded before, and what is only passed on (char, the decimals, and arrays of
	// what Array does not hold).
	Raw []byte
)

// Pair is one entry of a Map.
type Pair struct{ Key, Value any }

// Described is a value with a descriptor, mostly a number of the AMQP specification.
type Described struct{ Descriptor, Value any }

// Code is the numeric descriptor, 0 for a symbolic or missing one.
func (d *Described) Code() uint64 {
	if d == nil {
		return 0
	}
	c, _ := d.Descriptor.(uint64)
	return c
}

// Fields are the described list's, nil when it is none.
func (d *Described) Fields() List {
	if d == nil {
		return nil
	}
	l, _ := d.Value.(List)
	return l
}

// Descriptors of performatives, of SASL's frames and of what travels inside them.
const (
	CodeOpen        = 0x10
	CodeBegin       = 0x11
	CodeAttach      = 0x12
	CodeFlow        = 0x13
	CodeTransfer    = 0x14
	CodeDisposition = 0x15
	CodeDetach      = 0x16
	CodeEnd         = 0x17
	CodeClose       = 0x18
	CodeError       = 0x1d

	CodeAccepted = 0x24
	CodeRejected = 0x25
	CodeReleased = 0x26
	CodeModified = 0x27

	CodeSource      = 0x28
	CodeTarget      = 0x29
	CodeCoordinator = 0x30

	CodeMechanisms  = 0x40
	CodeSASLInit    = 0x41
	CodeSASLOutcome = 0x44
)

// At is field i of a list, T's zero value when the field is absent, null or of another type.
func At[T any](l List, i int) T {
	v, _ := Opt[T](l, i)
	return v
}

// Opt is At that tells a zero value from an absent field.
func Opt[T any](l List, i int) (v T, ok bool) {
	if i < len(l) {
		v, ok = l[i].(T)
	}
	return v, ok
}

// Get finds the value of a key that is a string or a symbol; nil when there is none.
func (m Map) Get(key string) any {
	v, _ := m.Lookup(key)
	return v
}

// Lookup is Get that tells a null value from an absent key.
func (m Map) Lookup(key string) (v any, ok bool) {
	if i := m.index(key); i >= 0 {
		return m[i].Value, true
	}
	return nil, false
}

func (m Map) index(key string) int {
	return slices.IndexFunc(m, func(p Pair) bool { return p.Key == key || p.Key == Symbol(key) })
}

// Set replaces the value of a key that is a string or a symbol, or adds it as a string.
func (m Map) Set(key string, v any) Map {
	if i := m.index(key); i >= 0 {
		m[i].Value = v
		return m
	}
	return append(m, Pair{key, v})
}

// Text is the value of a key as a string, "" when it is none.
func (m Map) Text(key string) string {
	s, _ := m.Get(key).(string)
	return s
}

// Milliseconds is a duration as AMQP's fields hold it, cut at what fits.
func Milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), 1<<32-1))
}
