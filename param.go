package eventflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// EventParameter is the field of a flow's parameter struct that takes the event's payload, when the flow has other
// parameters too. It is empty when a time clock fired. It has no JSON methods: embedded, they would hijack the struct.
type EventParameter[T any] struct {
	Value T
	event *Event
}

// NewEventParameter makes one for tests of flows; a nil event is that of a time clock's fire.
func NewEventParameter[T any](v T, ev *Event) EventParameter[T] {
	return EventParameter[T]{Value: v, event: ev}
}

// Get gives the payload; false when a time clock fired.
func (p EventParameter[T]) Get() (T, bool) { return p.Value, p.event != nil }

// Event gives the event itself; nil when a time clock fired.
func (p EventParameter[T]) Event() *Event { return p.event }

func (p *EventParameter[T]) decode(c Codec, ev *Event) error {
	p.event = ev
	return decodeAny(c, ev, &p.Value)
}

type eventParameter interface {
	decode(c Codec, ev *Event) error
}

var eventParameterType = reflect.TypeFor[eventParameter]()

// eventField finds the EventParameter of a parameter struct.
func eventField(flow string, t reflect.Type) (index []int, err error) {
	if t.Kind() != reflect.Struct {
		return nil, nil
	}
	var first string
	for i := range t.NumField() {
		f := t.Field(i)
		if !reflect.PointerTo(f.Type).Implements(eventParameterType) {
			continue
		}
		switch {
		case !f.IsExported():
			return nil, &ConfigError{Field: "flow " + flow + " parameter " + t.String(), Value: f.Name, Allowed: "an EventParameter in an exported field"}
		case index != nil:
			return nil, &ConfigError{Field: "flow " + flow + " parameter " + t.String(), Value: f.Name, Allowed: "one EventParameter takes the event, and " + first + " is one already"}
		}
		index, first = f.Index, f.Name
	}
	return index, nil
}

// Parameters set fields of a flow's parameter struct by name when a clock fires. runner.New checks names and types.
// Values travel through JSON into fresh fields on each run, so that two runs share no slice or map.
type Parameters map[string]any

// apply sets the parameters into the struct that dst points to.
func (ps Parameters) apply(flow string, dst reflect.Value) error {
	if len(ps) == 0 {
		return nil
	}
	if dst.Kind() != reflect.Struct {
		return &ConfigError{Field: "flow " + flow + " parameters", Value: strings.Join(ps.names(), ", "), Allowed: "only a flow whose parameter is a struct takes them; its is " + dst.Type().String()}
	}
	for _, name := range ps.names() {
		f := dst.FieldByName(name)
		if !f.IsValid() || !f.CanSet() || reflect.PointerTo(f.Type()).Implements(eventParameterType) {
			return &ConfigError{Field: "flow " + flow + " parameters", Value: name, Allowed: "one of the fields of " + dst.Type().String() + ": " + strings.Join(settable(dst.Type()), ", ")}
		}
		b, err := json.Marshal(ps[name])
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			err = d.Decode(f.Addr().Interface())
		}
		if err != nil {
			return &ConfigError{Field: "flow " + flow + " parameter " + name, Value: fmt.Sprintf("a %T", ps[name]), Allowed: fmt.Sprintf("what fits %v: %v", f.Type(), err)}
		}
	}
	return nil
}

func (ps Parameters) names() []string {
	names := make([]string, 0, len(ps))
	for name := range ps {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func settable(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && !reflect.PointerTo(f.Type).Implements(eventParameterType) {
			names = append(names, f.Name)
		}
	}
	if names == nil {
		return []string{"it has none"}
	}
	return names
}
