package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// Whatever the hashes are, each key that is held is found and no other is, and the table takes no more than the keys that
// were held at once need.
func TestKeysAreFoundWhateverTheirHashes(t *testing.T) {
	t.Parallel()
	chance := func(id int) uint64 { return spread(uint64(id)) }
	for name, hash := range map[string]func(id int) uint64{
		"equal":                     func(int) uint64 { return 0 },
		"few":                       func(id int) uint64 { return spread(uint64(id % 7)) },
		"one bucket":                func(id int) uint64 { return spread(uint64(id)) << 48 },
		"one bucket, one check":     func(id int) uint64 { return spread(uint64(id)) << 48 >> 8 },
		"nothing else than buckets": func(id int) uint64 { return uint64(id) << 32 },
		"chance":                    chance,
	} {
		for _, capacity := range []int{1, 2, 16, 200, 3000, maxCapacity} {
			t.Run(fmt.Sprintf("%s, capacity=%d", name, capacity), func(t *testing.T) {
				t.Parallel()
				got := churn(t, hash, capacity)
				if name == "chance" {
					require.LessOrEqual(t, got.more.made, got.buckets.made/4, "keys are spread over the buckets")
				}
			})
		}
	}
}

func churn(t *testing.T, hash func(id int) uint64, capacity int) table {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	var ks keys
	ks.init(capacity)
	capacity = min(capacity, 300)
	held := make(map[int]int32)
	var order []int // of those held, the oldest first
	for step := range 6000 {
		id := rnd.IntN(2*capacity + step/3000*capacity) // the same few keys, and then others
		var p probe
		ks.probe(&p, &eventflow.Key{Flow: "f", ID: strconv.Itoa(id)}, hash(id))
		if held[id] != p.index { // require would take most of the time
			t.Fatalf("key %d was found at %d, want %d", id, p.index, held[id])
		}
		switch {
		case p.index != 0 && rnd.IntN(3) > 0:
			ks.release(&p)
			continue
		case p.index != 0: // forgotten and made again
			ks.remove(p.index)
			held[id] = ks.add(&p, strconv.Itoa(id))
			continue
		case len(held) == capacity:
			n := 0
			if rnd.IntN(4) == 0 {
				n = rnd.IntN(len(order))
			}
			ks.remove(held[order[n]])
			delete(held, order[n])
			order = append(order[:n], order[n+1:]...)
		}
		held[id] = ks.add(&p, strconv.Itoa(id))
		order = append(order, id)
	}
	require.Equal(t, len(held), ks.used)
	for id := range 3 * capacity {
		var p probe
		ks.probe(&p, &eventflow.Key{Flow: "f", ID: strconv.Itoa(id)}, hash(id))
		require.Equal(t, held[id], p.index)
		ks.release(&p)
	}
	require.LessOrEqual(t, int(ks.table.buckets.made), 1+capacity/perBucket)
	require.LessOrEqual(t, int(ks.table.more.made), 2+2*capacity/inBucket, "twice, while a bucket is divided")
	return ks.table
}

// spread is a hash of 64 bits.
func spread(n uint64) uint64 { return rand.New(rand.NewPCG(n, 0)).Uint64() }

// A bucket is one line of a cache, which starts where a line starts.
func TestBucketIsALine(t *testing.T) {
	t.Parallel()
	var ks keys
	ks.init(1)
	require.EqualValues(t, 64, reflect.TypeFor[bucket]().Size())
	require.Zero(t, reflect.ValueOf(ks.table.buckets.at(1)).Pointer()%64)
}
