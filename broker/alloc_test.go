package broker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestChunkOfEventsCostsAFewAllocations(t *testing.T) { //nolint:paralleltest // it counts the allocations of the whole process
	b := setup(t)
	for name, key := range map[string]string{"without keys": "", "of one key": "k"} {
		evs := make([]eventflow.Event, 64)
		got := testing.AllocsPerRun(200, func() {
			for i := range evs {
				evs[i] = eventflow.Event{Key: key, Data: []byte{}}
			}
			if b.p.Publish(t.Context(), evs...) != nil {
				t.Error("publish")
			}
			ds, err := b.s.Next(t.Context(), eventflow.Want{Events: 64, PerLane: 64})
			if err != nil || len(ds) != 64 {
				t.Error("next")
			}
			ack(ds...)
		})
		// Two slabs of deliveries, the slice of them, the IDs.
		require.LessOrEqual(t, got, 5.0, name)
	}
}
