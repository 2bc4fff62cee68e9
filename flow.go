package eventflow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Flow is a named function with its types erased, so that runners, catalogues and slices hold any flow. Make one with
// [NewFlow], [NewSink], [NewSource] or [NewJob]. It is immutable and may be used by many runners.
type Flow struct {
	name, version string
	source        string // of its results
	codec         Codec
	errs          []error
	batch         bool
	publishes     bool
	check         func(Parameters) error
	call          func(ctx context.Context, run *Run, dst []Event) ([]Event, error)
}

// FlowOption configures a flow.
type FlowOption func(*Flow)

// Version says which version of the function this is; runs, dead letters and listings show it.
func Version(v string) FlowOption { return func(f *Flow) { f.version = v } }

// WithCodec sets the codec of the flow's parameter and result; [JSON] is the default.
func WithCodec(c Codec) FlowOption {
	return func(f *Flow) {
		if isNil(c) {
			f.fail("WithCodec", "nil", "a Codec, such as eventflow.JSON")
			return
		}
		f.codec = c
	}
}

// NewFlow makes a flow that takes an event's payload and returns a result, which the runner publishes.
//
// The types say the rest. P may be any type that the codec decodes; []byte, string, [Event] and *Event skip the codec;
// [Batch] takes many events; a struct with an [EventParameter] field has other parameters too. When a time clock fires,
// P is its zero value with the clock's parameters set.
//
// R may be any type that the codec encodes; []byte, string, Event and *Event skip it; [Many] publishes each element. A
// nil pointer, slice, map or interface publishes nothing. A result that is an Event without an ID, Source, Type or Key
// gets an ID derived from the run, the flow's source and name, and the key of the event that started the run.
func NewFlow[P, R any](name string, fn func(context.Context, P) (R, error), opts ...FlowOption) *Flow {
	f := newFlow(name, fn == nil, opts)
	f.publishes = true
	emit := output[R](f)
	invoke := invoker(f, fn)
	f.call = func(ctx context.Context, run *Run, dst []Event) ([]Event, error) {
		r, err := invoke(ctx, run)
		if err != nil {
			var some *BatchError
			if !f.batch || !errors.As(err, &some) || !some.spares(len(run.Events())) {
				return dst, err
			}
		}
		out, bad := emit(run, r, dst)
		if bad != nil {
			// The items that the flow was content with have no result: none has succeeded, whatever its BatchError says.
			if err != nil {
				bad = fmt.Errorf("%w; and %v", bad, err) //nolint:errorlint // an error that is no BatchError
			}
			return dst, &EncodeError{Flow: f.name, Err: bad}
		}
		return out, err
	}
	return f
}

// NewSink makes a flow that takes an event's payload and returns nothing but an error. P is as in [NewFlow].
func NewSink[P any](name string, fn func(context.Context, P) error, opts ...FlowOption) *Flow {
	f := newFlow(name, fn == nil, opts)
	invoke := invoker(f, func(ctx context.Context, p P) (struct{}, error) { return struct{}{}, fn(ctx, p) })
	f.call = func(ctx context.Context, run *Run, dst []Event) ([]Event, error) {
		_, err := invoke(ctx, run)
		return dst, err
	}
	return f
}

// NewSource makes a flow that takes nothing and returns a result. R is as in [NewFlow]. An event that starts it is only
// the signal: its payload is not looked at.
func NewSource[R any](name string, fn func(context.Context) (R, error), opts ...FlowOption) *Flow {
	if fn == nil {
		return NewFlow[struct{}, R](name, nil, opts...)
	}
	return NewFlow(name, func(ctx context.Context, _ struct{}) (R, error) { return fn(ctx) }, opts...)
}

// NewJob makes a flow that takes nothing and returns nothing but an error.
func NewJob(name string, fn func(context.Context) error, opts ...FlowOption) *Flow {
	if fn == nil {
		return NewSink[struct{}](name, nil, opts...)
	}
	return NewSink(name, func(ctx context.Context, _ struct{}) error { return fn(ctx) }, opts...)
}

func newFlow(name string, noFunc bool, opts []FlowOption) *Flow {
	f := &Flow{name: name, codec: JSON, source: "eventflow/" + url.PathEscape(name)}
	if !utf8.ValidString(name) || name == "" || len(name) > maxName || hasControl(name) {
		f.fail("flow name", name, "1 to "+strconv.Itoa(maxName)+" bytes of UTF-8 without control characters")
	}
	if noFunc {
		f.fail("flow "+name+" function", "nil", "a function")
	}
	for _, o := range opts {
		if o == nil {
			f.fail("flow "+name+" option", "nil", "a FlowOption")
			continue
		}
		o(f)
	}
	return f
}

// maxName bounds the names that become part of every run key.
const maxName = 128

func hasControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

func (f *Flow) fail(field, value, allowed string) {
	f.errs = append(f.errs, &ConfigError{Field: field, Value: value, Allowed: allowed})
}

// Name gives the flow's name, which is part of every run's key: renaming a flow makes it another.
func (f *Flow) Name() string { return f.name }

// Version gives the version that the flow was made with, "" for none.
func (f *Flow) Version() string { return f.version }

// Err says everything that is wrong with the definition, each a *[ConfigError]; runner.New returns it.
func (f *Flow) Err() error { return errors.Join(f.errs...) }

// IsBatch reports whether the flow takes many events a run.
func (f *Flow) IsBatch() bool { return f.batch }

// Publishes reports whether the flow has a result.
func (f *Flow) Publishes() bool { return f.publishes }

// CheckParameters says which parameter is unknown or does not fit, as a *[ConfigError].
func (f *Flow) CheckParameters(ps Parameters) error { return f.check(ps) }

// Call decodes, calls the function and encodes: one attempt without any policy, for schedulers of the user's own and
// for tests. It appends the results to dst, all of them or none. A payload that does not fit is a *[DecodeError], a
// result that cannot be encoded an *[EncodeError]. A panic of the function is not recovered. A definition with an Err
// cannot be called: its error is returned. The function finds run by [RunFrom] only when ctx is one of [WithRun].
func (f *Flow) Call(ctx context.Context, run *Run, dst []Event) ([]Event, error) {
	if f.errs != nil {
		return dst, f.Err()
	}
	return f.call(ctx, run, dst)
}

// invoker turns the typed function into one that reads its parameter from a run.
func invoker[P, R any](f *Flow, fn func(context.Context, P) (R, error)) func(context.Context, *Run) (R, error) {
	f.checkType("parameter", reflect.TypeFor[P]())
	f.checkElement(reflect.TypeFor[P]())
	f.check = func(ps Parameters) error { return ps.apply(f.name, reflect.ValueOf(new(P)).Elem()) }
	if _, ok := any(new(P)).(batchParameter); ok {
		f.batch = true
		return func(ctx context.Context, run *Run) (R, error) { return callBatch(ctx, f, run, fn) }
	}
	in := input[P](f)
	return func(ctx context.Context, run *Run) (R, error) {
		p, err := in(run)
		if err != nil {
			var none R
			return none, err
		}
		return fn(ctx, p)
	}
}

// input reads P from a run. The kinds that skip the codec have functions of their own, so that they allocate nothing.
func input[P any](f *Flow) func(*Run) (P, error) {
	var special any
	switch any((*P)(nil)).(type) {
	case *struct{}:
		special = func(run *Run) (struct{}, error) { return struct{}{}, f.noParameters(run) }
	case *[]byte:
		special = func(run *Run) ([]byte, error) {
			if ev := run.Event(); ev != nil {
				return ev.Data, nil
			}
			return nil, f.noParameters(run)
		}
	case *string:
		special = func(run *Run) (string, error) {
			if ev := run.Event(); ev != nil {
				return string(ev.Data), nil
			}
			return "", f.noParameters(run)
		}
	case *Event:
		special = func(run *Run) (Event, error) {
			if ev := run.Event(); ev != nil {
				return *ev, nil
			}
			return Event{}, f.noParameters(run)
		}
	case **Event:
		special = func(run *Run) (*Event, error) { return run.Event(), f.noParameters(run) }
	}
	if special != nil {
		return special.(func(*Run) (P, error))
	}

	t := reflect.TypeFor[P]()
	field, err := eventField(f.name, t)
	if err != nil {
		f.errs = append(f.errs, err)
	}
	if len(field) > 0 {
		f.checkElement(t.FieldByIndex(field).Type)
	}
	return func(run *Run) (p P, err error) {
		ev := run.Event()
		switch {
		case ev == nil:
			if run.Fire != nil {
				err = run.Fire.Parameters.apply(f.name, reflect.ValueOf(&p).Elem())
			}
			return p, err
		case field != nil:
			err = reflect.ValueOf(&p).Elem().FieldByIndex(field).Addr().Interface().(eventParameter).decode(run.decoder(f), ev)
		default:
			err = decodeAny(run.decoder(f), ev, &p)
		}
		if err != nil {
			err = &DecodeError{Flow: f.name, Source: ev.Source, ID: ev.ID, Err: err}
		}
		return p, err
	}
}

// noParameters is the error of a fire whose parameters have nowhere to go.
func (f *Flow) noParameters(run *Run) error {
	if run.Fire == nil || len(run.Fire.Parameters) == 0 {
		return nil
	}
	return f.check(run.Fire.Parameters)
}

// decodeAny decodes into what dst points to, with the codec or without. An event without data is the empty parameter: a
// tombstone says that something is gone, which no codec can read.
func decodeAny(c Codec, ev *Event, dst any) error {
	switch d := dst.(type) {
	case *Event:
		*d = *ev
	case **Event:
		*d = ev
	case *[]byte:
		*d = ev.Data
	case *string:
		*d = string(ev.Data)
	default:
		if ev.Data == nil {
			return nil
		}
		return c.Decode(ev, dst)
	}
	return nil
}

func (f *Flow) checkType(what string, t reflect.Type) {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		f.fail("flow "+f.name+" "+what, t.String(), "a type with a payload: a struct, []byte, string, eventflow.Event, eventflow.Batch, eventflow.Many")
	case reflect.Pointer:
		if t.Implements(batchParameterType) {
			f.fail("flow "+f.name+" "+what, t.String(), "the Batch itself, not a pointer to it")
		}
	}
}

// checkElement checks what a Batch, an EventParameter or a Many is made of.
func (f *Flow) checkElement(t reflect.Type) {
	switch v := reflect.New(t).Interface().(type) {
	case batchParameter:
		f.checkType("element of Batch", v.element())
		if hidesEventParameter(v.element()) {
			f.fail("flow "+f.name+" element of Batch", v.element().String(), "a payload; an Item has the event beside it, and no other parameters")
		}
	case eventParameter:
		f.checkType("EventParameter", v.element())
	case manyResult:
		f.checkType("element of Many", v.element())
	}
}
