package broker

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestHeapGivesTheEarliestAndOfEqualsTheFirst(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var h heap
		var want []entry
		for i := range r.IntN(100) {
			e := entry{key: int64(r.IntN(10)), seq: uint64(i)}
			want = append(want, e)
			h.push(e)
		}
		slices.SortFunc(want, func(a, b entry) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		var got []entry
		for len(h) > 0 {
			got = append(got, h.pop())
		}
		require.Equal(t, want, got, "seed %d", seed)
	}
}

// through publishes and settles n events, a few at a time.
func through(t *testing.T, m *Memory, n int, key func(int) string) *group {
	t.Helper()
	p, s := m.Publisher("q"), m.Subscriber("q")
	for i := range n {
		require.NoError(t, p.Publish(t.Context(), eventflow.Event{Key: key(i)}))
		if i%10 == 9 {
			ds, err := s.Next(t.Context(), eventflow.Want{Events: 10})
			require.NoError(t, err)
			eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		}
	}
	return m.topics["q"].groups[0]
}

func TestSlotsAndLanesAreUsedAgain(t *testing.T) {
	t.Parallel()
	g := through(t, NewMemory(), 10_000, strconv.Itoa)
	require.Len(t, g.slots.chunks, 1)
	require.Len(t, g.lanes.byKey, maxIdleLanes, "keys that never come back cost nothing")
	require.Equal(t, maxIdleLanes, g.lanes.idle.n)

	m := NewMemory(Capacity(10_000))
	evs := make([]eventflow.Event, 10_000)
	for i := range evs {
		evs[i].Key = strconv.Itoa(i)
	}
	s := m.Subscriber("q")
	require.NoError(t, m.Publisher("q").Publish(t.Context(), evs...))
	ds, err := s.Next(t.Context(), eventflow.Want{Events: 10_000})
	require.NoError(t, err)
	require.Len(t, ds, 10_000)
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	require.Len(t, m.topics["q"].groups[0].lanes.byKey, maxIdleLanes, "nor do many at once")

	g = through(t, NewMemory(), 1000, func(i int) string { return strconv.Itoa(i % 7) })
	require.Len(t, g.lanes.byKey, 7)
	require.Equal(t, 7, g.lanes.idle.n)
	g.lanes.enter("3", nil, 0)
	require.Equal(t, 6, g.lanes.idle.n, "one that is used again is not idle")
}

func TestLaneThatWasFoundAndGivenToAnotherKeyIsNotUsed(t *testing.T) {
	t.Parallel()
	var (
		ls lanes
		f  found
	)
	was := ls.enter("a", nil, 0)
	ls.exit(was)
	ls.find(&f, []eventflow.Event{{Key: "a"}, {Key: "b"}, {}})
	require.Same(t, was, f.lanes[0])
	require.Nil(t, f.lanes[1])
	require.Same(t, was, ls.enter("a", &f, 0))
	b := ls.enter("b", &f, 1)
	require.Same(t, b, ls.byKey["b"], "the same Publish may have several events of a new key")
	require.Same(t, b, ls.enter("b", &f, 1))
	ls.exit(was)
	for i := range maxIdleLanes {
		ls.exit(ls.enter(strconv.Itoa(i), nil, 0))
	}
	other := ls.enter("other", nil, 0)
	require.Same(t, was, other, "its record is used again")
	l := ls.enter("a", &f, 0)
	require.NotSame(t, other, l)
	require.Equal(t, "a", l.key)
	require.Equal(t, 1, int(l.live))
}

func TestLaneIsWrittenInOneCacheLine(t *testing.T) {
	t.Parallel()
	if strconv.IntSize != 64 {
		t.Skip("it is laid out for pointers of 64 bits")
	}
	l := reflect.TypeFor[lane]()
	require.EqualValues(t, 128, l.Size())
	key, _ := l.FieldByName("key")
	require.EqualValues(t, 64, key.Offset)
}

func TestSettledEventIsLetGo(t *testing.T) {
	t.Parallel()
	g := through(t, NewMemory(), 100, func(int) string { return "" })
	for _, chunk := range g.slots.chunks {
		for i := range chunk {
			require.Nil(t, chunk[i].d)
			require.Nil(t, chunk[i].holder)
		}
	}
}

func TestGivenIDsKeepTheirOrderPastTheirWidth(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	m.ids.Store(9_999_999_990)
	b := idBlock{m: m}
	seen := map[string]bool{}
	for i := range 100 {
		seen[b.next(100-i)] = true
	}
	require.Len(t, seen, 100)
	b.fill(1000)
	require.Len(t, b.block, 64*b.width, "an ID that is kept keeps few others")
}
