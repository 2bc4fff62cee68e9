package eventflow

import (
	"reflect"
	"strings"
)

// output turns a flow's result into events appended to dst.
func output[R any](f *Flow) func(run *Run, r R, dst []Event) ([]Event, error) {
	t := reflect.TypeFor[R]()
	f.checkType("result", t)
	if t.Kind() == reflect.Pointer {
		f.checkElement(t.Elem())
	} else {
		f.checkElement(t)
	}

	// The kinds that skip the codec have functions of their own, which box nothing.
	var special any
	switch any((*R)(nil)).(type) {
	case *[]byte:
		special = func(run *Run, data []byte, dst []Event) ([]Event, error) {
			if data == nil {
				return dst, nil
			}
			return f.one(run, Event{Data: data}, dst), nil
		}
	case *string:
		special = func(run *Run, s string, dst []Event) ([]Event, error) {
			return f.one(run, Event{Data: []byte(s)}, dst), nil
		}
	case *Event:
		special = func(run *Run, ev Event, dst []Event) ([]Event, error) { return f.one(run, ev, dst), nil }
	case **Event:
		special = func(run *Run, ev *Event, dst []Event) ([]Event, error) {
			if ev == nil {
				return dst, nil
			}
			return f.one(run, *ev, dst), nil
		}
	}
	switch {
	case special != nil:
		return special.(func(*Run, R, []Event) ([]Event, error))
	case t.Size() == 0 && t.Kind() == reflect.Struct:
		f.publishes = false
		return func(_ *Run, _ R, dst []Event) ([]Event, error) { return dst, nil }
	case t.Kind() == reflect.Interface || t.Implements(manyResultType):
		return func(run *Run, r R, dst []Event) ([]Event, error) { return f.many(run, r, dst) }
	}
	return func(run *Run, r R, dst []Event) ([]Event, error) {
		ev, ok, err := encode(run.encoder(f), r)
		if err != nil || !ok {
			return dst, err
		}
		return f.one(run, ev, dst), nil
	}
}

// one appends the only result of a run.
func (f *Flow) one(run *Run, ev Event, dst []Event) []Event {
	var ids resultIDs
	dst = append(dst, ev)
	f.complete(run, &dst[len(dst)-1], &ids, 0)
	return dst
}

// many appends the elements of a Many, or the one value that is none.
func (f *Flow) many(run *Run, r any, dst []Event) ([]Event, error) {
	var ids resultIDs
	n := 0
	emit := func(v any) error {
		ev, ok, err := encode(run.encoder(f), v)
		if err != nil || !ok {
			return err
		}
		dst = append(dst, ev)
		f.complete(run, &dst[len(dst)-1], &ids, n)
		n++
		return nil
	}
	var err error
	switch m, ok := r.(manyResult); {
	case ok && !isNil(r): // a nil *Many has no elements to ask
		err = m.each(emit)
	case !ok:
		err = emit(r)
	}
	return dst, err
}

// encode gives the event of a result; false when there is nothing to publish.
func encode(c Codec, v any) (Event, bool, error) {
	if isNil(v) {
		return Event{}, false, nil
	}
	ev, err := Encode(c, v)
	return ev, err == nil, err
}

// complete gives the event what its flow left out. The ID is the same on every attempt.
func (f *Flow) complete(run *Run, ev *Event, ids *resultIDs, n int) {
	if ev.ID == "" {
		ev.ID = ids.id(run, n)
	}
	if ev.Source == "" {
		ev.Source = f.source
	}
	if ev.Type == "" {
		ev.Type = f.name
	}
	if ev.Key == "" {
		if in := run.Event(); in != nil {
			ev.Key = in.Key
		}
	}
	ev.Attributes = withoutOwn(ev.Attributes)
}

// ownPrefix begins the attributes that say why an event is a dead letter. A flow that passes its event on does not pass
// those on: the result is no dead letter.
const ownPrefix = "eventflow-"

func withoutOwn(as Attributes) Attributes {
	for i := range as {
		if strings.HasPrefix(as[i].Name, ownPrefix) {
			out := append(Attributes(nil), as[:i]...)
			for _, a := range as[i+1:] {
				if !strings.HasPrefix(a.Name, ownPrefix) {
					out = append(out, a)
				}
			}
			return out
		}
	}
	return as
}
