package servicebus

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

// Application properties are a map: they have no order, no name twice, and no times finer than a millisecond. Where the
// attributes of an event have, one more property says what they are exactly: a JSON array with, for each attribute, the
// name of its property, or its own name, type and text.

// Types in that array.
const (
	typeString = "s"
	typeRaw    = "r" // a string that is not UTF-8, in base64
	typeBool   = "b"
	typeInt    = "i"
	typeLong   = "l"
	typeDouble = "d"
	typeBytes  = "y"
	typeTime   = "t"
	typeUUID   = "u"
)

// property is an attribute and the name of the property that it was or will be.
type property struct {
	name      string
	attribute eventflow.Attribute
}

// propertyOf names the property of an attribute: prefixed where CloudEvents allows the name, plain where it does not.
// "" when no property can have it, because it would be taken for something else.
func propertyOf(name string) string {
	if cloudevents.IsName(name) {
		return prefixColon + name
	}
	if _, prefixed := trim(name); prefixed || isReserved(name) || name == "" || !utf8.ValidString(name) {
		return ""
	}
	return name
}

// putAttributes writes attributes as application properties.
func putAttributes(props map[string]any, as eventflow.Attributes) {
	if len(as) == 0 {
		return
	}
	exact := make([]any, 0, len(as))
	needed := false
	last := ""
	for _, a := range as {
		name := propertyOf(a.Name)
		value, ok := plain(a.Value)
		if _, taken := props[name]; name == "" || taken || !ok {
			exact = append(exact, inline(a))
			needed = true
			if name == "" || taken {
				continue
			}
			if value == nil { // the next best, for those who read properties: its text
				value = text(cloudevents.FormatValue(a.Value))
			}
			props[name] = value
			continue
		}
		props[name] = value
		exact = append(exact, name)
		needed = needed || name <= last
		last = name
	}
	if needed {
		b, err := json.Marshal(exact)
		if err == nil { // strings and arrays of strings always can be
			props[propExact] = string(b)
		}
	}
}

// plain is the value of a property that comes back as it is; false when none does.
func plain(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		return text(v), utf8.ValidString(v)
	case bool, int32, int64, float64:
		return v, true
	case []byte:
		if v == nil {
			v = []byte{}
		}
		return v, true
	case [16]byte:
		return amqp.UUID(v), true
	case time.Time:
		if isMillis(v) {
			return v.UTC(), true
		}
		return nil, false
	}
	return cloudevents.FormatValue(v), true
}

// inline is an attribute as an element of the array.
func inline(a eventflow.Attribute) any {
	kind, value := typeString, cloudevents.FormatValue(a.Value)
	switch v := a.Value.(type) {
	case string:
		if !utf8.ValidString(v) {
			kind, value = typeRaw, base64.StdEncoding.EncodeToString([]byte(v))
		}
	case bool:
		kind = typeBool
	case int32:
		kind = typeInt
	case int64:
		kind = typeLong
	case float64:
		kind = typeDouble
	case []byte:
		kind = typeBytes
	case [16]byte:
		kind = typeUUID
	case time.Time:
		kind = typeTime
	}
	return [...]string{a.Name, kind, value}
}

// outline reads an element of the array; false when it is none.
func outline(raw json.RawMessage) (a eventflow.Attribute, ok bool) {
	var parts []string
	if json.Unmarshal(raw, &parts) != nil || len(parts) != 3 {
		return a, false
	}
	a.Name = parts[0]
	s := parts[2]
	var err error
	switch parts[1] {
	case typeString:
		a.Value = s
	case typeRaw, typeBytes:
		var b []byte
		b, err = base64.StdEncoding.DecodeString(s)
		if a.Value = b; parts[1] == typeRaw {
			a.Value = string(b)
		}
	case typeBool:
		a.Value, err = strconv.ParseBool(s)
	case typeInt:
		var n int64
		n, err = strconv.ParseInt(s, 10, 32)
		a.Value = int32(n)
	case typeLong:
		a.Value, err = strconv.ParseInt(s, 10, 64)
	case typeDouble:
		a.Value, err = strconv.ParseFloat(s, 64)
	case typeTime:
		a.Value, err = time.Parse(time.RFC3339Nano, s)
	case typeUUID:
		var u [16]byte
		u, err = parseUUID(s)
		a.Value = u
	default:
		return a, false
	}
	return a, err == nil
}

var errUUID = errors.New("a UUID has 32 digits")

func parseUUID(s string) (u [16]byte, err error) {
	hex := strings.ReplaceAll(s, "-", "")
	if len(hex) != 32 {
		return u, errUUID
	}
	for i := range u {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return u, err
		}
		u[i] = byte(n)
	}
	return u, nil
}

// exactOrder brings properties into the order of the array, with what only it has. Properties that it does not name, and all where
// there is none or it cannot be read, follow in the order of their names.
func exactOrder(found []property, array any) eventflow.Attributes {
	if len(found) == 0 && array == nil {
		return nil
	}
	var elements []json.RawMessage
	if s, ok := array.(string); ok && json.Unmarshal([]byte(s), &elements) != nil {
		elements = nil
	}
	if len(found)+len(elements) == 0 {
		return nil
	}
	index := map[string]int{}
	if len(elements) > 0 {
		for i := range found {
			index[found[i].name] = i
		}
	}
	out := make(eventflow.Attributes, 0, len(found))
	used := make([]bool, len(found))
	for _, raw := range elements {
		var name string
		if json.Unmarshal(raw, &name) == nil {
			if i, ok := index[name]; ok && !used[i] {
				used[i] = true
				out = append(out, found[i].attribute)
			}
			continue
		}
		a, ok := outline(raw)
		if !ok {
			continue
		}
		if i, ok := index[propertyOf(a.Name)]; ok && !used[i] && cannotHold(a.Value) {
			used[i] = true // its next best
		}
		out = append(out, a)
	}
	for i := range found {
		if !used[i] {
			out = append(out, found[i].attribute)
		}
	}
	return out
}

// cannotHold reports whether no property has the value as it is.
func cannotHold(v any) bool {
	_, ok := plain(v)
	return !ok
}

// valueOf is a property's value as an attribute's: AMQP has more types of numbers than CloudEvents. Nil stays nil.
func valueOf(v any) any {
	switch v := v.(type) {
	case nil, string, bool, int32, int64, float64, []byte, [16]byte:
		return v
	case time.Time:
		return v.UTC()
	case amqp.UUID:
		return [16]byte(v)
	case int8:
		return int32(v)
	case int16:
		return int32(v)
	case uint8:
		return int32(v)
	case uint16:
		return int32(v)
	case uint32:
		return int64(v)
	case int:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
		return strconv.FormatUint(v, 10)
	case float32:
		return float64(v)
	case amqp.Symbol:
		return string(v)
	case amqp.Null:
		return nil
	}
	return cloudevents.FormatValue(v)
}

// asJSON writes a body that is neither data nor text. What cannot be written is no data; Delivery.Native has it.
func asJSON(v any) []byte {
	b, err := json.Marshal(stringKeys(v))
	if err != nil {
		return nil
	}
	return b
}

// stringKeys makes AMQP's maps and values JSON's.
func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[cloudevents.FormatValue(valueOf(k))] = stringKeys(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = stringKeys(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = stringKeys(x)
		}
		return out
	case amqp.UUID:
		return cloudevents.FormatValue([16]byte(v))
	}
	return v
}

// nativeID is sequence number and time of arrival: an entity that is made again counts from 1 again.
func nativeID(m *azservicebus.ReceivedMessage) string {
	var id []byte
	if m.SequenceNumber != nil {
		id = strconv.AppendInt(id, *m.SequenceNumber, 10)
	}
	if m.EnqueuedTime != nil {
		id = append(id, '@')
		id = strconv.AppendInt(id, m.EnqueuedTime.UnixMilli(), 10)
	}
	return string(id)
}
