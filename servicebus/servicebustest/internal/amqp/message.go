package amqp

import (
	"fmt"
	"time"
)

// Descriptors of a message's sections.
const (
	sectionHeader                = 0x70
	sectionDeliveryAnnotations   = 0x71
	sectionAnnotations           = 0x72
	sectionProperties            = 0x73
	sectionApplicationProperties = 0x74
	sectionData                  = 0x75
	sectionSequence              = 0x76
	sectionValue                 = 0x77
	sectionFooter                = 0x78
)

// Fields of the properties section.
const (
	MessageID      = 0
	To             = 2
	Subject        = 3
	ReplyTo        = 4
	CorrelationID  = 5
	ContentType    = 6
	GroupID        = 10
	ReplyToGroupID = 12
)

// Message is a message in its sections. What a broker has no business with (properties, body and footer) is kept as it
// came, byte for byte, so that every type and encoding survives.
type Message struct {
	Durable             bool
	Priority            uint8         // 4 when absent
	TTL                 time.Duration // 0: none; at most some 49 days, which is what its field holds
	DeliveryCount       uint32
	DeliveryAnnotations Map
	Annotations         Map
	Properties          List // decoded, for reading; Marshal writes the section as it came
	Application         Map  // nil until changed or asked for: see ApplicationProperties

	properties  []byte
	application []byte
	body        []byte // body sections and footer
}

// NewMessage makes a message of an AMQP value, as replies are.
func NewMessage(properties List, application Map, value any) *Message {
	m := &Message{Priority: 4, Properties: properties, Application: application}
	m.properties = AppendComposite(nil, sectionProperties, properties...)
	m.body = Append([]byte{0x00, 0x53, sectionValue}, value)
	return m
}

// ParseMessage reads a whole message. The result shares b's memory.
func ParseMessage(b []byte) (*Message, error) {
	m := &Message{Priority: 4}
	last := uint64(0)
	for len(b) > 0 {
		code, head, err := section(b)
		if err != nil {
			return nil, err
		}
		if code < last || code == last && code != sectionData && code != sectionSequence {
			return nil, fmt.Errorf("%w: section %#x after %#x", ErrMalformed, code, last)
		}
		last = code
		if code >= sectionData {
			for rest := b; len(rest) > 0; { // body and footer: only their borders are looked at
				if code, _, err = section(rest); err != nil {
					return nil, err
				}
				if code < sectionData {
					return nil, fmt.Errorf("%w: section %#x after the body", ErrMalformed, code)
				}
				if rest, err = skip(rest, maxDepth); err != nil {
					return nil, err
				}
			}
			m.body = b
			return m, nil
		}
		v, rest, err := Decode(head)
		if err != nil {
			return nil, err
		}
		if err := m.take(code, v, b[:len(b)-len(rest)]); err != nil {
			return nil, err
		}
		b = rest
	}
	return m, nil
}

// section reads a section's descriptor; value begins with what it describes.
func section(b []byte) (code uint64, value []byte, err error) {
	if b[0] != 0 {
		return 0, nil, fmt.Errorf("%w: a section without a descriptor", ErrMalformed)
	}
	d, value, err := Decode(b[1:])
	if err != nil {
		return 0, nil, err
	}
	code, _ = d.(uint64)
	if code < sectionHeader || code > sectionFooter {
		return 0, nil, fmt.Errorf("%w: section %v", ErrMalformed, d)
	}
	return code, value, nil
}

func (m *Message) take(code uint64, v any, raw []byte) error {
	list, isList := v.(List)
	entries, isMap := v.(Map)
	if code == sectionHeader || code == sectionProperties {
		if !isList {
			return fmt.Errorf("%w: section %#x is no list", ErrMalformed, code)
		}
	} else if !isMap {
		return fmt.Errorf("%w: section %#x is no map", ErrMalformed, code)
	}
	switch code {
	case sectionHeader:
		m.Durable = At[bool](list, 0)
		if p, ok := Opt[uint8](list, 1); ok {
			m.Priority = p
		}
		m.TTL = time.Duration(At[uint32](list, 2)) * time.Millisecond
		m.DeliveryCount = At[uint32](list, 4)
	case sectionDeliveryAnnotations:
		m.DeliveryAnnotations = entries
	case sectionAnnotations:
		m.Annotations = entries
	case sectionProperties:
		m.Properties, m.properties = list, raw
	case sectionApplicationProperties:
		m.application = raw
	}
	return nil
}

// ApplicationProperties decodes the section. To change it, assign Application.
func (m *Message) ApplicationProperties() Map {
	if m.Application == nil && len(m.application) > 0 {
		if _, value, err := section(m.application); err == nil {
			v, _, _ := Decode(value) // it was decoded when the message came
			entries, _ := v.(Map)
			return entries
		}
	}
	return m.Application
}

// Data are the body's data sections, in order; nil when the body is of another kind.
func (m *Message) Data() [][]byte {
	var out [][]byte
	for b := m.body; len(b) > 0; {
		code, value, err := section(b)
		if err != nil || code != sectionData {
			break
		}
		v, rest, err := Decode(value)
		d, ok := v.([]byte)
		if err != nil || !ok {
			break
		}
		out = append(out, d)
		b = rest
	}
	return out
}

// Value is the body's AMQP value, nil when the body is of another kind.
func (m *Message) Value() any {
	if len(m.body) == 0 {
		return nil
	}
	code, value, err := section(m.body)
	if err != nil || code != sectionValue {
		return nil
	}
	v, _, _ := Decode(value) // a body that cannot be read has no value
	return v
}

// Size is what the message takes, near enough for a quota.
func (m *Message) Size() int {
	return len(m.properties) + len(m.application) + len(m.body) + 32*len(m.Annotations) + 64
}

// Append encodes the message, with these annotations after its own.
func (m *Message) Append(b []byte, annotations ...Pair) []byte {
	var ttl any
	if m.TTL > 0 {
		ttl = Milliseconds(m.TTL)
	}
	b = AppendComposite(b, sectionHeader, m.Durable, m.Priority, ttl, nil, m.DeliveryCount)
	if len(m.DeliveryAnnotations) > 0 {
		b = Append(append(b, 0x00, 0x53, sectionDeliveryAnnotations), m.DeliveryAnnotations)
	}
	if len(m.Annotations)+len(annotations) > 0 {
		b = append(b, 0x00, 0x53, sectionAnnotations)
		var mark int
		b, mark = open(b, 0xd1, 2*(len(m.Annotations)+len(annotations)))
		for _, list := range [2]Map{m.Annotations, annotations} {
			for _, p := range list {
				b = Append(Append(b, p.Key), p.Value)
			}
		}
		b = shut(b, mark)
	}
	b = append(b, m.properties...)
	if m.Application != nil {
		b = Append(append(b, 0x00, 0x53, sectionApplicationProperties), m.Application)
	} else {
		b = append(b, m.application...)
	}
	return append(b, m.body...)
}
