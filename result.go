package eventflow

import "reflect"

// output turns a flow's result into events appended to dst.
func output[R any](f *Flow) func(run *Run, r R, dst []Event) ([]Event, error) {
	t := reflect.TypeFor[R]()
	f.checkType("result", t)

	// The commonest kind that skips the codec has a function of its own, which boxes nothing.
	if _, ok := any((*R)(nil)).(*[]byte); ok {
		return any(func(run *Run, data []byte, dst []Event) ([]Event, error) {
			if data == nil {
				return dst, nil
			}
			var ids resultIDs
			return append(dst, f.complete(run, Event{Data: data}, &ids, 0)), nil
		}).(func(*Run, R, []Event) ([]Event, error))
	}
	if t.Size() == 0 && t.Kind() == reflect.Struct {
		f.publishes = false
		return func(_ *Run, _ R, dst []Event) ([]Event, error) { return dst, nil }
	}
	return func(run *Run, r R, dst []Event) ([]Event, error) {
		var ids resultIDs
		n := 0
		emit := func(v any) error {
			ev, ok, err := encode(run.encoder(f), v)
			if err != nil || !ok {
				return err
			}
			dst = append(dst, f.complete(run, ev, &ids, n))
			n++
			return nil
		}
		var err error
		if m, ok := any(r).(manyResult); ok {
			err = m.each(emit)
		} else {
			err = emit(r)
		}
		return dst, err
	}
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
func (f *Flow) complete(run *Run, ev Event, ids *resultIDs, n int) Event {
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
	return ev
}
