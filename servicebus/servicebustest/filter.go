package servicebustest

import (
	"reflect"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// Filter is the service's correlation filter: a message passes when every field that is set equals the message's. The
// zero Filter is the true filter. SQL filters are not here.
type Filter struct {
	CorrelationID, MessageID, To, ReplyTo, Subject, SessionID, ReplyToSessionID, ContentType string

	// Properties are application properties that must be there, with these values. Whole numbers equal whole numbers
	// of another size.
	Properties map[string]any
}

func (f *Filter) pass(m *amqp.Message) bool {
	for _, c := range [...]struct {
		want  string
		field int
	}{
		{f.CorrelationID, amqp.CorrelationID}, {f.MessageID, amqp.MessageID}, {f.To, amqp.To}, {f.ReplyTo, amqp.ReplyTo}, {f.Subject, amqp.Subject},
		{f.SessionID, amqp.GroupID}, {f.ReplyToSessionID, amqp.ReplyToGroupID}, {f.ContentType, amqp.ContentType},
	} {
		if c.want != "" && text(m.Properties, c.field) != c.want {
			return false
		}
	}
	if len(f.Properties) == 0 {
		return true
	}
	have := m.ApplicationProperties()
	for k, want := range f.Properties {
		v, ok := have.Lookup(k)
		if !ok || whole(v) != whole(want) {
			return false
		}
	}
	return true
}

// text is a property that may be a string or a symbol.
func text(properties amqp.List, field int) string {
	if s, ok := amqp.Opt[amqp.Symbol](properties, field); ok {
		return string(s)
	}
	return amqp.At[string](properties, field)
}

// whole gives whole numbers one type, and what cannot be compared none.
func whole(v any) any {
	switch r := reflect.ValueOf(v); {
	case !r.IsValid():
		return nil
	case r.CanInt():
		return r.Int()
	case r.CanUint():
		return int64(r.Uint())
	case !r.Comparable():
		return new(int) // equal to nothing
	}
	return v
}
