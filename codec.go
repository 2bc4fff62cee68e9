package eventflow

import (
	"encoding/json"
	"reflect"
)

// Codec turns payloads into values and back. Payloads of the kinds []byte, string and [Event] never meet it. A codec is
// used by many goroutines at once.
type Codec interface {
	// ContentType is the media type that Encode produces; it becomes the event's DataContentType.
	ContentType() string
	// Decode sets the value that v points to from ev.Data. It must not keep or change ev.Data.
	Decode(ev *Event, v any) error
	// Encode gives the payload of v. The bytes belong to the caller.
	Encode(v any) ([]byte, error)
}

// JSON is the codec of a flow that names no other: encoding/json, unknown fields ignored, trailing data refused.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string           { return "application/json" }
func (jsonCodec) Decode(ev *Event, v any) error { return json.Unmarshal(ev.Data, v) }
func (jsonCodec) Encode(v any) ([]byte, error)  { return json.Marshal(v) }

// Encode makes an event of a value, to publish from outside a flow. The kinds []byte, string and [Event] are taken as
// they are. The event has no ID: set one when the same value may be published twice, else the broker gives it one.
func Encode(c Codec, v any) (Event, error) {
	switch v := v.(type) {
	case Event:
		return v, nil
	case *Event:
		if v == nil {
			return Event{}, &ConfigError{Field: "eventflow.Encode value", Value: "nil", Allowed: "an *Event that is not nil"}
		}
		return *v, nil
	case []byte:
		return Event{Data: v}, nil
	case string:
		return Event{Data: []byte(v)}, nil
	}
	if isNil(c) {
		return Event{}, &ConfigError{Field: "eventflow.Encode codec", Value: "nil", Allowed: "a Codec, such as eventflow.JSON"}
	}
	b, err := c.Encode(v)
	if err != nil {
		return Event{}, err
	}
	return Event{Data: b, DataContentType: c.ContentType()}, nil
}

// isNil sees a nil in an interface, typed or not.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan, reflect.Interface:
		return rv.IsNil()
	}
	return false
}
