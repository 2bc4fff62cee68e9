package eventflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// EventParameter is the field of a flow's parameter struct that takes the event's payload, when the flow has other
// parameters too. It is empty when a time clock fired. A flow without other parameters may take one as its parameter, to
// know whether an event started it. It has no JSON methods: embedded, they would hijack the struct.
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

// element is the type of the payload.
func (*EventParameter[T]) element() reflect.Type { return reflect.TypeFor[T]() }

type eventParameter interface {
	decode(c Codec, ev *Event) error
	element() reflect.Type
}

var eventParameterType = reflect.TypeFor[eventParameter]()

func isEventParameter(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(eventParameterType)
}

// hidesEventParameter reports whether t is, points to, or is a struct with an EventParameter. Where nobody looks for one,
// the codec would fill its Value.
func hidesEventParameter(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if isEventParameter(t) {
		return true
	}
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			if isEventParameter(f.Type) {
				return true
			}
		}
	}
	return false
}

// eventField finds the EventParameter of a flow's parameter: nil for none, empty when the parameter is one itself.
func eventField(flow string, t reflect.Type) (index []int, err error) {
	bad := func(value, allowed string) error {
		return &ConfigError{Field: "flow " + flow + " parameter " + t.String(), Value: value, Allowed: allowed}
	}
	switch {
	case isEventParameter(t):
		return []int{}, nil
	case t.Kind() != reflect.Struct:
		if hidesEventParameter(t) {
			return nil, bad(t.String(), "the struct with the EventParameter itself, not a pointer to it")
		}
		return nil, nil
	}
	var first string
	for f := range t.Fields() {
		switch {
		case !isEventParameter(f.Type):
			if f.Anonymous && hidesEventParameter(f.Type) {
				return nil, bad(f.Name, "an EventParameter in a field of the parameter struct itself")
			}
			continue
		case !f.IsExported():
			return nil, bad(f.Name, "an EventParameter in an exported field")
		case index != nil:
			return nil, bad(f.Name, "one EventParameter takes the event, and "+first+" is one already")
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
	if dst.Kind() != reflect.Struct || isEventParameter(dst.Type()) {
		return &ConfigError{Field: "flow " + flow + " parameters", Value: strings.Join(ps.names(), ", "), Allowed: "only a flow whose parameter is a struct takes them; its is " + dst.Type().String()}
	}
	for _, name := range ps.names() {
		f := fieldNamed(dst, name)
		if !f.IsValid() || !f.CanSet() || isEventParameter(f.Type()) {
			return &ConfigError{Field: "flow " + flow + " parameters", Value: name, Allowed: "one of the fields of " + dst.Type().String() + ": " + strings.Join(settable(dst.Type()), ", ")}
		}
		b, err := json.Marshal(ps[name])
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			err = d.Decode(f.Addr().Interface())
		}
		if err != nil {
			return &ConfigError{Field: "flow " + flow + " parameter " + name, Value: fmt.Sprintf("a %T", ps[name]), Allowed: fmt.Sprintf("what fits %v: %s", f.Type(), misfit(err))}
		}
	}
	return nil
}

// fieldNamed is FieldByName, without its panic at a field of an embedded struct that is a nil pointer.
func fieldNamed(v reflect.Value, name string) reflect.Value {
	f, ok := v.Type().FieldByName(name)
	if !ok {
		return reflect.Value{}
	}
	field, err := v.FieldByIndexErr(f.Index)
	if err != nil {
		return reflect.Value{}
	}
	return field
}

// misfit says why a value does not fit without saying the value: a parameter may be a secret.
func misfit(err error) string {
	var (
		unfit  *json.UnmarshalTypeError
		unable *json.UnsupportedTypeError
	)
	switch {
	case errors.As(err, &unfit):
		kind, _, _ := strings.Cut(unfit.Value, " ") // of "number 300" the number is the value
		s := kind + " is no " + unfit.Type.String()
		if unfit.Field != "" {
			s += " of its field " + unfit.Field
		}
		return s
	case errors.As(err, &unable):
		return "JSON has no " + unable.Type.String()
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	return fmt.Sprintf("its JSON is refused, with a %T", err)
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
	for f := range t.Fields() {
		if f.IsExported() && !isEventParameter(f.Type) {
			names = append(names, f.Name)
		}
	}
	if names == nil {
		return []string{"it has none"}
	}
	return names
}
