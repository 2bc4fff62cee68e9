package eventflow_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// numbers makes events of the payloads, with their indexes as IDs.
func numbers(payloads ...string) (evs []*eventflow.Event) {
	for i, p := range payloads {
		evs = append(evs, event(fmt.Sprint(i), p))
	}
	return evs
}

func TestABatchHasTheEventsInOrder(t *testing.T) {
	t.Parallel()
	evs := numbers("10", "20", "30")
	b := taken[eventflow.Batch[int]](t, evs...)
	require.True(t, into(&b).IsBatch())
	require.Equal(t, []int{10, 20, 30}, b.Values())
	for i, ev := range evs {
		require.Same(t, ev, b[i].Event)
	}
	require.Equal(t, []int{10}, taken[eventflow.Batch[int]](t, evs[0]).Values(), "one event is a batch too")
	require.Equal(t, []string{"10", "20", "30"}, taken[eventflow.Batch[string]](t, evs...).Values())
	require.Equal(t, evs, taken[eventflow.Batch[*eventflow.Event]](t, evs...).Values())
	require.Empty(t, eventflow.Batch[int](nil).Values())
}

// batchCall calls a batch flow whose function returns err, and gives what it saw.
func batchCall(t *testing.T, err error, payloads ...string) (seen []int, out []eventflow.Event, got error) {
	t.Helper()
	f := eventflow.NewFlow("sum", func(_ context.Context, b eventflow.Batch[int]) (int, error) {
		sum := 0
		for _, n := range b.Values() {
			seen = append(seen, n)
			sum += n
		}
		return sum, err
	})
	out, got = call(t, f, numbers(payloads...)...)
	return seen, out, got
}

// failed gives the indexes of a BatchError.
func failed(t *testing.T, err error) (indexes []int) {
	t.Helper()
	var some *eventflow.BatchError
	require.ErrorAs(t, err, &some)
	for _, it := range some.Items {
		indexes = append(indexes, it.Index)
	}
	return indexes
}

func itemsFailed(indexes ...int) error {
	var e eventflow.BatchError
	for _, i := range indexes {
		e.Add(i, errBoom)
	}
	return e.Err()
}

func TestAnItemThatCannotBeDecodedFailsAlone(t *testing.T) {
	t.Parallel()
	seen, out, err := batchCall(t, nil, "1", "x", "3", "[", "5")
	require.Equal(t, []int{1, 3, 5}, seen)
	require.Equal(t, []int{1, 3}, failed(t, err))
	require.Len(t, out, 1, "the others have a result")
	require.Equal(t, "9", string(out[0].Data))

	var some *eventflow.BatchError
	require.ErrorAs(t, err, &some)
	for _, it := range some.Items {
		var bad *eventflow.DecodeError
		require.ErrorAs(t, it.Err, &bad)
		require.Equal(t, fmt.Sprint(it.Index), bad.ID)
	}
}

func TestABatchOfWhichNothingCanBeDecodedIsNotRun(t *testing.T) {
	t.Parallel()
	runs := 0
	f := eventflow.NewFlow("f", func(context.Context, eventflow.Batch[int]) (int, error) {
		runs++
		return 7, nil
	})
	out, err := call(t, f, numbers("x", "y")...)
	require.Zero(t, runs)
	require.Empty(t, out, "not even an empty result")
	require.Equal(t, []int{0, 1}, failed(t, err))
}

func TestIndexesOfABatchErrorBecomeThoseOfTheRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what     string
		payloads []string
		flow     error
		want     []int
	}{
		{"nothing undecodable", []string{"1", "2", "3"}, itemsFailed(0, 2), []int{0, 2}},
		{"one before them", []string{"x", "2", "3"}, itemsFailed(0), []int{0, 1}},
		{"one between them", []string{"1", "x", "3", "4"}, itemsFailed(0, 1), []int{0, 1, 2}},
		{"one behind them", []string{"1", "2", "x"}, itemsFailed(1), []int{1, 2}},
		{"wrapped by the flow", []string{"x", "2", "3"}, fmt.Errorf("sum: %w", itemsFailed(1)), []int{0, 2}},
		{"one item twice", []string{"x", "2", "3"}, itemsFailed(1, 1), []int{0, 2, 2}},
		{"in any order", []string{"x", "2", "3", "4"}, itemsFailed(2, 0), []int{0, 1, 3}},
	} {
		_, out, err := batchCall(t, c.flow, c.payloads...)
		require.Equal(t, c.want, failed(t, err), c.what)
		require.Len(t, out, 1, "%s: there are others, and their result", c.what)
	}
}

// An item that the flow never saw must not pass for done because the flow was wrong about its indexes.
func TestAFlowThatNamesNoItemOfItsOwnFailsThemAll(t *testing.T) {
	t.Parallel()
	for what, flow := range map[string]error{
		"an index beyond its batch":    itemsFailed(2),
		"beyond, and one that is good": itemsFailed(0, 2),
		"below zero":                   itemsFailed(-1),
		"an empty one, wrapped":        errors.Join(errBoom, &eventflow.BatchError{}),
		"a nil one, wrapped":           fmt.Errorf("sum: %w", (*eventflow.BatchError)(nil)),
	} {
		_, out, err := batchCall(t, flow, "x", "2", "3")
		require.Equal(t, []int{0, 1, 2}, failed(t, err), what)
		require.Empty(t, out, what)
	}
	for what, flow := range map[string]error{
		"an empty one, wrapped": errors.Join(errBoom, &eventflow.BatchError{}),
		"a nil one, wrapped":    fmt.Errorf("sum: %w", (*eventflow.BatchError)(nil)),
	} {
		_, out, err := batchCall(t, flow, "1", "2", "3")
		require.Equal(t, []int{0, 1, 2}, failed(t, err), what)
		require.Empty(t, out, what)
	}
	for what, flow := range map[string]error{"an index beyond its batch": itemsFailed(3), "no BatchError": errBoom} {
		_, out, err := batchCall(t, flow, "1", "2", "3")
		require.Equal(t, flow, err, "%s: the runner sees what the flow said", what)
		require.Empty(t, out, what)
	}
}

// Whoever called halves the batch until what failed is alone; naming the others would count an attempt for each of them.
func TestAPlainFailureNamesNobodyBesideWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	_, out, err := batchCall(t, errBoom, "1", "x", "3")
	require.Equal(t, errBoom, err)
	require.Empty(t, out)
}

func TestOneErrorOfTheWholeBatchIsThatOfEveryItem(t *testing.T) {
	t.Parallel()
	_, _, err := batchCall(t, eventflow.Skip("not today"), "1", "x")
	var some *eventflow.BatchError
	require.ErrorAs(t, err, &some)
	require.Len(t, some.Items, 2)
	var skip *eventflow.SkipError
	require.ErrorAs(t, some.Items[0].Err, &skip)
	require.Equal(t, "not today", skip.Reason)
	var bad *eventflow.DecodeError
	require.ErrorAs(t, some.Items[1].Err, &bad)
}

// "return failed" for "return failed.Err()" is an error that is not nil and names nobody.
func TestABatchErrorWithoutItemsIsNoError(t *testing.T) {
	t.Parallel()
	var none *eventflow.BatchError
	for _, flow := range []error{none, &eventflow.BatchError{}, none.Err(), (&eventflow.BatchError{}).Err()} {
		_, out, err := batchCall(t, flow, "1", "2")
		require.NoError(t, err)
		require.Len(t, out, 1)

		_, out, err = batchCall(t, flow, "1", "x")
		require.Equal(t, []int{1}, failed(t, err))
		require.Len(t, out, 1)
	}
}

func TestABatchOfWhichAllFailedHasNoResult(t *testing.T) {
	t.Parallel()
	_, out, err := batchCall(t, itemsFailed(0, 1), "1", "2")
	require.Equal(t, []int{0, 1}, failed(t, err))
	require.Empty(t, out)
	_, out, err = batchCall(t, itemsFailed(0), "1", "x")
	require.Equal(t, []int{0, 1}, failed(t, err))
	require.Empty(t, out)
}

// The items that the flow did not name have no result either: an error that still is a BatchError would let the runner
// acknowledge them.
func TestAResultThatCannotBeEncodedFailsTheWholeBatch(t *testing.T) {
	t.Parallel()
	f := eventflow.NewFlow("f", func(context.Context, eventflow.Batch[int]) (eventflow.Many[any], error) {
		return eventflow.Many[any]{1, func() {}}, itemsFailed(0)
	})
	out, err := call(t, f, numbers("1", "2")...)
	var bad *eventflow.EncodeError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, "boom", "what the flow said is told")
	var some *eventflow.BatchError
	require.NotErrorAs(t, err, &some)
	require.Empty(t, out)
}

func TestABatchErrorOfAFlowWithoutABatchIsAnError(t *testing.T) {
	t.Parallel()
	f := eventflow.NewFlow("f", func(context.Context, int) (int, error) { return 1, itemsFailed(7) })
	out, err := call(t, f, event("1", "1"))
	require.Error(t, err)
	require.Empty(t, out)

	f = eventflow.NewFlow("f", func(context.Context, int) (int, error) { return 1, itemsFailed(0) })
	out, err = call(t, f, numbers("1", "2")...)
	require.Error(t, err)
	require.Empty(t, out, "nor does it spare the second event of a run that has several")
}

func TestManyPublishesEachElement(t *testing.T) {
	t.Parallel()
	type many = eventflow.Many[*upload]
	for _, c := range []struct {
		what string
		made many
		want []string
	}{
		{"each", many{{Path: "a"}, {Path: "b"}}, []string{`{"Path":"a","Size":0}`, `{"Path":"b","Size":0}`}},
		{"but a nil pointer", many{nil, {Path: "b"}, nil}, []string{`{"Path":"b","Size":0}`}},
		{"none", many{}, nil},
		{"nil", nil, nil},
	} {
		byValue := eventflow.NewSource("f", func(context.Context) (many, error) { return c.made, nil })
		byPointer := eventflow.NewSource("f", func(context.Context) (*many, error) { return &c.made, nil })
		inAny := eventflow.NewSource("f", func(context.Context) (any, error) { return c.made, nil })
		for _, f := range []*eventflow.Flow{byValue, byPointer, inAny} {
			out, err := call(t, f)
			require.NoError(t, err, c.what)
			require.Equal(t, c.want, payloads(out), c.what)
		}
	}
	nothing := eventflow.NewSource("f", func(context.Context) (*many, error) { return nil, nil })
	out, err := call(t, nothing)
	require.NoError(t, err)
	require.Empty(t, out)

	plain := eventflow.NewSource("f", func(context.Context) ([]int, error) { return []int{1, 2}, nil })
	out, err = call(t, plain)
	require.NoError(t, err)
	require.Equal(t, []string{"[1,2]"}, payloads(out), "a plain slice is one payload")
}

func payloads(evs []eventflow.Event) (out []string) {
	for _, ev := range evs {
		out = append(out, string(ev.Data))
	}
	return out
}
