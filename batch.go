package eventflow

import (
	"context"
	"errors"
	"reflect"
	"slices"
)

// Batch as a flow's parameter asks for many events of one lane in one run; runner.BatchOf sets how many and how long to
// wait for them. Return a [BatchError] when some items failed: only those are tried again, and the run's result is published
// when there are others.
type Batch[T any] []Item[T]

// Item is one event of a [Batch] and its payload.
type Item[T any] struct {
	Value T
	Event *Event
}

// Values gives the payloads alone.
func (b Batch[T]) Values() []T {
	vs := make([]T, len(b))
	for i := range b {
		vs[i] = b[i].Value
	}
	return vs
}

// decode fills b with the run's events that fit; kept are their indexes, bad says why the others do not.
func (b *Batch[T]) decode(f *Flow, run *Run) (kept []int, bad BatchError) {
	evs, codec := run.Events(), run.decoder(f)
	*b = make(Batch[T], 0, len(evs))
	for i, ev := range evs {
		it := Item[T]{Event: ev}
		if err := decodeAny(codec, ev, &it.Value); err != nil {
			bad.Add(i, &DecodeError{Flow: f.name, Source: ev.Source, ID: ev.ID, Err: err})
			continue
		}
		*b = append(*b, it)
		kept = append(kept, i)
	}
	return kept, bad
}

// element is the type of the payloads.
func (*Batch[T]) element() reflect.Type { return reflect.TypeFor[T]() }

type batchParameter interface {
	decode(f *Flow, run *Run) (kept []int, bad BatchError)
	element() reflect.Type
}

var batchParameterType = reflect.TypeFor[batchParameter]()

// callBatch calls the flow with what can be decoded. The other items fail alone; the indexes of the flow's own
// BatchError become those of the run's events.
func callBatch[P, R any](ctx context.Context, f *Flow, run *Run, fn func(context.Context, P) (R, error)) (r R, err error) {
	if err = f.noParameters(run); err != nil {
		return r, err
	}
	var p P
	kept, bad := any(&p).(batchParameter).decode(f, run)
	if len(kept) == 0 && len(bad.Items) > 0 {
		return r, bad.Err()
	}
	r, err = fn(ctx, p)
	return r, joinBatch(bad, kept, err)
}

// joinBatch gives the error of a batch from what could not be decoded and what the flow said of the items kept.
func joinBatch(bad BatchError, kept []int, err error) error {
	if e, ok := err.(*BatchError); ok { //nolint:errorlint // a wrapped one without items is an error of its wrapper
		err = e.Err()
	}
	var own *BatchError
	partial := errors.As(err, &own)
	switch {
	case err == nil:
		return bad.Err()
	case partial && own.names(len(kept)):
		if len(bad.Items) == 0 {
			return err
		}
		for _, it := range own.Items {
			bad.Add(kept[it.Index], it.Err)
		}
	case len(bad.Items) == 0 && (!partial || len(own.items()) > 0):
		return err
	case !partial && !decided(err):
		return err // a plain failure: nobody knows whose. Who called halves the batch, and what cannot be decoded comes up
	default: // it names no item of ours, or is meant for all: none that cannot be decoded may pass for done
		for _, i := range kept {
			bad.Add(i, err)
		}
	}
	slices.SortStableFunc(bad.Items, func(a, b ItemError) int { return a.Index - b.Index })
	return bad.Err()
}

// decided reports whether a flow's error says what becomes of its events.
func decided(err error) bool {
	var (
		skip *SkipError
		busy *BusyError
	)
	return errors.As(err, &skip) || errors.As(err, &busy)
}

// Many as a flow's result publishes each element as an event of its own. A plain slice is one payload. A nil pointer
// among the elements publishes nothing.
type Many[T any] []T

func (m Many[T]) each(emit func(any) error) error {
	for i := range m {
		if err := emit(m[i]); err != nil {
			return err
		}
	}
	return nil
}

func (Many[T]) element() reflect.Type { return reflect.TypeFor[T]() }

type manyResult interface {
	each(emit func(any) error) error
	element() reflect.Type
}

var manyResultType = reflect.TypeFor[manyResult]()
