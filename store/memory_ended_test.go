package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Against a slice: the first leaves, or another, to whose place the first goes; and the blocks are no more than were
// needed at once.
func TestEndedKeepsItsOrder(t *testing.T) {
	t.Parallel()
	const most = 100
	rnd := rand.New(rand.NewPCG(1, 2))
	var ks keys
	ks.init(most)
	var unused []int32
	for range most {
		unused = append(unused, ks.records.add())
	}
	var q ended
	var want []int32
	for step := range 20_000 {
		filling := step/500%2 == 0
		switch {
		case filling && len(unused) > 0 || len(want) == 0:
			n := rnd.IntN(len(unused))
			i := unused[n]
			unused = slices.Delete(unused, n, n+1)
			q.push(&ks, i)
			want = append(want, i)
		default:
			n := 0
			if rnd.IntN(3) == 0 {
				n = rnd.IntN(len(want))
			}
			i := want[n]
			q.remove(&ks, i)
			unused = append(unused, i)
			want[n] = want[0]
			want = want[1:]
		}
		require.Equal(t, len(want), q.n)
		if len(want) > 0 {
			require.Equal(t, want[0], q.first())
			got := make([]int32, 1+rnd.IntN(len(want)))
			q.read(got)
			require.Equal(t, want[:len(got)], got)
		} else {
			require.Zero(t, q.first())
		}
	}
	require.LessOrEqual(t, int(q.blocks.made), 2+most/inBlock)
}
