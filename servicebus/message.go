package servicebus

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

// Prefixes of CloudEvents attributes among the application properties. Both are read, the first is written.
const (
	prefixColon = "cloudEvents:"
	prefixJMS   = "cloudEvents_"
)

// Properties of our own. They are not attributes of an event.
const (
	propKey      = "eventflow-key"        // a Key that no session ID can be
	propExact    = "eventflow-attributes" // order, repetition and values that properties do not have; see exact.go
	propAttempts = "eventflow-failed"     // failed attempts
	propRedrive  = "eventflow-redrive"    // how often it was dead-lettered
	propID       = "eventflow-id"         // of a delayed copy: the event's
	propSource   = "eventflow-source"     // of a delayed copy: the event's
)

func isReserved(name string) bool {
	switch name {
	case propKey, propExact, propAttempts, propRedrive, propID, propSource:
		return true
	}
	return false
}

// maxID is the most characters of a message ID, a session ID and a partition key.
const maxID = 128

// annDue is the annotation that schedules a message.
const annDue = "x-opt-scheduled-enqueue-time"

// dueAt is a time as AMQP can carry it. It counts whole milliseconds, and what is scheduled must not come early.
func dueAt(at time.Time) time.Time {
	if whole := at.UTC().Truncate(time.Millisecond); whole.Before(at) {
		return whole.Add(time.Millisecond)
	}
	return at.UTC()
}

// encode makes the message of an event. at is when it is enqueued; zero: at once.
func encode(ev *eventflow.Event, set *publication, at time.Time) (*azservicebus.AMQPAnnotatedMessage, error) {
	var made struct { // at once
		m    azservicebus.AMQPAnnotatedMessage
		p    azservicebus.AMQPAnnotatedMessageProperties
		data [1][]byte
	}
	m, props := &made.m, &made.p
	m.Properties = props
	m.ApplicationProperties = make(map[string]any, 8+len(ev.Attributes))
	m.Body.Data = made.data[:0]
	if ev.ID != "" {
		props.MessageID = fitID(ev.ID)
	} else {
		props.MessageID = rand.Text()
	}
	if ev.Key != "" {
		id := fitID(ev.Key)
		props.GroupID = &id
		if id != ev.Key {
			m.ApplicationProperties[propKey] = text(ev.Key)
		}
	}
	if ev.Subject != "" && utf8.ValidString(ev.Subject) {
		props.Subject = &ev.Subject // what rules filter by
	}
	if !at.IsZero() {
		m.MessageAnnotations = map[any]any{annDue: dueAt(at)}
	}
	attributes := ev.Attributes
	if set.structured {
		body, rest, err := cloudevents.Encode(ev)
		if err != nil {
			return nil, err
		}
		contentType := cloudevents.ContentType
		props.ContentType = &contentType
		m.Body.Data = append(m.Body.Data, body)
		attributes = rest
	} else {
		binary(ev, m)
	}
	putAttributes(m.ApplicationProperties, attributes)
	return m, nil
}

// binary writes the core attributes of binary mode, and the payload.
func binary(ev *eventflow.Event, m *azservicebus.AMQPAnnotatedMessage) {
	if ev.DataContentType != "" && isASCII(ev.DataContentType) {
		m.Properties.ContentType = &ev.DataContentType
	}
	cloudevents.Each(ev, func(name, value string) {
		switch name {
		case "datacontenttype":
			if m.Properties.ContentType == nil {
				m.ApplicationProperties[prefixColon+name] = text(value)
			}
		case "time":
			if isMillis(ev.Time) {
				m.ApplicationProperties[prefixColon+"time"] = ev.Time.UTC()
				return
			}
			m.ApplicationProperties[prefixColon+"time"] = value
		default:
			m.ApplicationProperties[coreName(name)] = text(value)
		}
	})
	if ev.Data == nil {
		m.Body = azservicebus.AMQPAnnotatedMessageBody{Value: amqp.Null{}}
	} else {
		m.Body.Data = append(m.Body.Data, ev.Data)
	}
}

// coreName is prefixColon before a name, and makes none of what every event has.
func coreName(name string) string {
	switch name {
	case "specversion":
		return prefixColon + "specversion"
	case "id":
		return prefixColon + "id"
	case "source":
		return prefixColon + "source"
	case "type":
		return prefixColon + "type"
	case "subject":
		return prefixColon + "subject"
	}
	return prefixColon + name
}

// text is a string where AMQP can hold it, and its bytes where it is not UTF-8.
func text(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return []byte(s)
}

// isASCII: AMQP's symbols are.
func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e || r < 0x20 }) < 0
}

// isMillis reports whether AMQP's timestamps, which count milliseconds, can hold t.
func isMillis(t time.Time) bool {
	return t.Nanosecond()%int(time.Millisecond) == 0 && t.Year() > 0 && t.Year() < 10000
}

// fitID is s where the service takes it for an ID, and a digest of it where it is too long or not UTF-8.
func fitID(s string) string {
	if len(s) <= maxID && utf8.ValidString(s) || utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxID {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// origin names the entity in the identity of events that have none of their own.
func origin(namespace, path string) string { return "servicebus/" + namespace + "/" + path }

// decode makes the event of a message. source is the entity's origin.
func decode(m *azservicebus.ReceivedMessage, source string, set *subscription) eventflow.Event {
	var ev eventflow.Event
	raw := m.RawAMQPMessage
	ev.Data = body(raw)
	if m.ContentType != nil {
		ev.DataContentType = *m.ContentType
	}
	ev.Key = key(m)
	var few [16]string
	names := few[:0]
	for name := range m.ApplicationProperties {
		names = append(names, name)
	}
	slices.Sort(names)
	isEvent := versionOf(m.ApplicationProperties) == cloudevents.Version
	isStructured := !isEvent && cloudevents.IsStructured(ev.DataContentType)
	var found []property
	for _, name := range names {
		value := valueOf(m.ApplicationProperties[name])
		switch short, prefixed := trim(name); {
		case isReserved(name), value == nil:
		case isEvent && prefixed && setCore(&ev, short, value):
		case (isEvent || isStructured) && prefixed && cloudevents.IsName(short):
			found = append(found, property{name, eventflow.Attribute{Name: short, Value: value}})
		default:
			found = append(found, property{name, eventflow.Attribute{Name: name, Value: value}})
		}
	}
	ev.Attributes = exactOrder(found, m.ApplicationProperties[propExact])
	if isStructured {
		_ = cloudevents.Decode(ev.Data, &ev) // what is no CloudEvent stays the bytes that it is
	}
	if ev.Subject == "" && m.Subject != nil {
		ev.Subject = *m.Subject
	}
	if ev.Time.IsZero() && m.EnqueuedTime != nil {
		ev.Time = *m.EnqueuedTime
	}
	identify(&ev, m, source, set)
	if set.deadLetters {
		from := strings.TrimSuffix(strings.TrimPrefix(source, "servicebus/"), deadLetterPath)
		if m.DeadLetterSource != nil {
			from = *m.DeadLetterSource
		}
		ev.Attributes = append(ev.Attributes, eventflow.Attribute{Name: "DeadLetterSource", Value: from})
	}
	return ev
}

// identify gives an event without an ID of its own the one of its message, which it keeps until it is settled and which
// no message of an entity that is made again will have.
func identify(ev *eventflow.Event, m *azservicebus.ReceivedMessage, source string, set *subscription) {
	if set.copies { // a delayed copy is the event that it was copied from
		if id, ok := m.ApplicationProperties[propID].(string); ok && id != "" {
			ev.ID = id
			if s, ok := m.ApplicationProperties[propSource].(string); ok {
				ev.Source = s
			}
		}
	}
	if ev.Source == "" {
		ev.Source = source
	}
	switch {
	case ev.ID != "":
	case set.messageIDs && m.MessageID != "":
		ev.ID = m.MessageID
	default:
		ev.ID = nativeID(m)
	}
}

// body is the payload: all data sections, or a value that is a text or bytes. A value of another type is written as
// JSON. No value is no data.
func body(raw *azservicebus.AMQPAnnotatedMessage) []byte {
	switch n := len(raw.Body.Data); {
	case n == 1:
		return raw.Body.Data[0]
	case n > 1:
		return slices.Concat(raw.Body.Data...)
	case raw.Body.Value != nil:
		switch v := raw.Body.Value.(type) {
		case string:
			return []byte(v)
		case []byte:
			return v
		}
		return asJSON(raw.Body.Value)
	case len(raw.Body.Sequence) > 0:
		return asJSON(slices.Concat(raw.Body.Sequence...))
	}
	return nil
}

func key(m *azservicebus.ReceivedMessage) string {
	switch k := m.ApplicationProperties[propKey].(type) {
	case string:
		return k
	case []byte:
		return string(k)
	}
	switch {
	case m.SessionID != nil:
		return *m.SessionID
	case m.PartitionKey != nil:
		return *m.PartitionKey
	}
	return ""
}

func versionOf(props map[string]any) string {
	for _, prefix := range [...]string{prefixColon, prefixJMS} {
		if v, ok := props[prefix+"specversion"].(string); ok {
			return v
		}
	}
	return ""
}

// trim takes the prefix off the name of a CloudEvents attribute.
func trim(name string) (short string, prefixed bool) {
	if short, prefixed = strings.CutPrefix(name, prefixColon); prefixed {
		return short, true
	}
	return strings.CutPrefix(name, prefixJMS)
}

// setCore sets a core attribute; false when it is none.
func setCore(ev *eventflow.Event, name string, value any) bool {
	switch v := value.(type) {
	case time.Time:
		if name == "time" {
			ev.Time = v.UTC()
			return true
		}
	case []byte: // a text that is not UTF-8
		return cloudevents.Set(ev, name, string(v))
	}
	return cloudevents.Set(ev, name, cloudevents.FormatValue(value))
}

// attempts gives how many runs of a message are known to have failed.
func attemptsOf(m *azservicebus.ReceivedMessage) int {
	return number(m.ApplicationProperties[propAttempts])
}

// redriveOf gives how often a message came back from a dead-letter queue. Tools that send dead letters back leave the properties as
// they are; one that the service itself had dead-lettered counts as the first.
func redriveOf(m *azservicebus.ReceivedMessage) int {
	n := number(m.ApplicationProperties[propRedrive])
	if n == 0 && m.DeadLetterReason != nil {
		return 1
	}
	return n
}

// number reads a count that anybody may have written.
func number(v any) int {
	const most = 1 << 20
	switch v := valueOf(v).(type) {
	case int32:
		return int(min(max(v, 0), most))
	case int64:
		return int(min(max(v, 0), most))
	}
	return 0
}
