package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// model is what the memory store promises for events, written without a thought of speed.
type model struct {
	capacity int
	window   time.Duration
	fence    int
	keys     map[eventflow.Key]*modelKey
	ended    []eventflow.Key // done, oldest end first
}

type modelKey struct {
	owner    string
	fence    int
	attempts int
	until    time.Time
	running  bool
	done     bool
	outcome  eventflow.Outcome
}

// forget removes a key. In which order finished keys go that are past their window is open; this is how the store does
// it, so that the two can be compared.
func (m *model) forget(k eventflow.Key) {
	delete(m.keys, k)
	if i := slices.Index(m.ended, k); i >= 0 {
		m.ended[i] = m.ended[0]
		m.ended = m.ended[1:]
	}
}

// makeRoom forgets what is past its window: two done keys in passing for each that is claimed, and of the unfinished ones
// all, when there is no room otherwise. It reports whether there is room now.
func (m *model) makeRoom(cs []store.Claim) bool {
	for n := 2 * len(cs); n > 0 && len(m.ended) > 0 && time.Since(m.keys[m.ended[0]].until) >= m.window; n-- {
		m.forget(m.ended[0])
	}
	fits := func() bool {
		asked := 0
		for i := range cs {
			if r := m.keys[cs[i].Key]; r == nil || r.done {
				asked++
			}
		}
		return asked <= m.capacity-len(m.keys)+len(m.ended)
	}
	if fits() {
		return true
	}
	for old, r := range m.keys {
		if !r.done && time.Since(r.until) >= m.window {
			m.forget(old)
		}
	}
	return fits()
}

func (m *model) claim(owner string, lease time.Duration, k eventflow.Key) (s store.Status, fence, attempts int, o eventflow.Outcome) {
	r := m.keys[k]
	if r != nil && time.Since(r.until) >= m.window {
		m.forget(k)
		r = nil
	}
	switch {
	case r == nil:
		if len(m.keys) == m.capacity {
			m.forget(m.ended[0])
		}
		r = &modelKey{}
		m.keys[k] = r
	case r.done:
		return store.Done, 0, 0, r.outcome
	case r.running && time.Now().Before(r.until):
		return store.Held, 0, 0, 0
	case r.running:
		r.attempts++
	}
	m.fence++
	r.owner, r.fence, r.running, r.until = owner, m.fence, true, time.Now().Add(lease)
	return store.Granted, r.fence, r.attempts, 0
}

func (m *model) finish(owner string, k eventflow.Key, fence int, state store.State, o eventflow.Outcome) (fenced bool) {
	r := m.keys[k]
	if r == nil || !r.running || r.owner != owner || r.fence != fence {
		return true
	}
	r.running = false
	switch state {
	case store.Terminal:
		r.done, r.outcome, r.until = true, o, time.Now()
		m.ended = append(m.ended, k)
	case store.Failed:
		r.attempts++
	case store.Released:
		if r.attempts == 0 {
			m.forget(k)
			break
		}
		if time.Now().Before(r.until) {
			r.until = time.Now()
		}
	}
	return false
}

func (m *model) renew(owner string, lease time.Duration, k eventflow.Key, fence int) bool {
	r := m.keys[k]
	if r == nil || !r.running || r.owner != owner || r.fence != fence {
		return false
	}
	r.until = time.Now().Add(lease)
	return true
}

// Random calls by several owners, in time that passes: the store answers each as the model does. Most stores are small,
// so that little happens between two calls for a key; some are large enough for everything that pays in large ones only.
func TestMemoryAnswersAsItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(48) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			capacity, chunk, steps := 1<<rnd.IntN(8), 1, 3000
			switch seed % 6 {
			case 4:
				chunk = 1 + rnd.IntN(2*capacity)
			case 5:
				capacity, chunk, steps = 1000+rnd.IntN(2000), 150, 600
			}
			synctest.Test(t, func(t *testing.T) { compareWithModel(t, rnd, capacity, chunk, steps) })
		})
	}
}

func compareWithModel(t *testing.T, rnd *rand.Rand, capacity, chunk, steps int) {
	t.Helper()
	window := time.Hour
	m := store.NewMemory(store.Capacity(capacity), store.Window(window))
	want := &model{capacity: capacity, window: window, keys: make(map[eventflow.Key]*modelKey)}
	owners := []string{"a", "b", "c"}
	type grant struct {
		owner string
		claim store.Claim
	}
	var grants []grant // live or not
	pick := func() (grant, bool) {
		if len(grants) == 0 {
			return grant{}, false
		}
		g := grants[len(grants)-1-rnd.IntN(min(len(grants), 2*capacity))]
		if rnd.IntN(10) == 0 {
			g.owner = owners[rnd.IntN(len(owners))]
		}
		return g, true
	}
	finish := func() {
		g, ok := pick()
		if !ok {
			return
		}
		f := store.Finish{Claim: &g.claim, State: store.Terminal + store.State(rnd.IntN(3))}
		if chunk > 1 && rnd.IntN(4) > 0 {
			f.State = store.Terminal // or large stores would rarely be full of finished keys
		}
		if f.State == store.Terminal {
			f.Outcome = []eventflow.Outcome{eventflow.Succeeded, eventflow.Skipped}[rnd.IntN(2)]
		}
		if r := want.keys[g.claim.Key]; r != nil && r.fence == g.claim.Fence && !r.running {
			return // finished twice: answered as the first, which the model does not know
		}
		fs := []store.Finish{f}
		require.NoError(t, m.Finish(t.Context(), g.owner, fs))
		require.Equal(t, want.finish(g.owner, g.claim.Key, g.claim.Fence, f.State, f.Outcome), fs[0].Fenced)
	}
	for range steps {
		owner, lease := owners[rnd.IntN(len(owners))], time.Duration(1+rnd.IntN(60))*time.Second
		switch rnd.IntN(8) {
		case 0:
			time.Sleep(time.Duration(rnd.IntN(40)) * time.Second)
		case 1:
			if rnd.IntN(20) == 0 {
				time.Sleep(time.Duration(rnd.IntN(100)) * time.Minute)
			}
		case 2:
			if g, ok := pick(); ok {
				c := g.claim
				require.NoError(t, m.Renew(t.Context(), g.owner, lease, []*store.Claim{&c}))
				require.Equal(t, want.renew(g.owner, lease, c.Key, c.Fence), c.Status == store.Granted)
			}
		case 3, 4, 5:
			for range 1 + rnd.IntN(chunk) {
				finish()
			}
		default:
			cs := make([]store.Claim, 1+rnd.IntN(chunk))
			for i := range cs {
				cs[i].Key = eventflow.Key{Flow: "f", Source: strconv.Itoa(rnd.IntN(3)), ID: longer(rnd.IntN(capacity))}
			}
			err := m.Claim(t.Context(), owner, lease, cs)
			if !want.makeRoom(cs) {
				require.ErrorIs(t, err, store.ErrFull)
				break
			}
			require.NoError(t, err)
			for _, c := range cs {
				s, fence, attempts, o := want.claim(owner, lease, c.Key)
				require.Equal(t, s.String(), c.Status.String(), c.Key)
				require.Equal(t, []int{fence, attempts, int(o)}, []int{c.Fence, c.Attempts, int(c.Outcome)})
				if s == store.Granted {
					grants = append(grants, grant{owner, c})
				}
				if s != store.Done {
					require.True(t, c.Until.Equal(want.keys[c.Key].until))
				}
			}
		}
		require.Equal(t, len(want.keys), m.Len())
	}
}

// longer gives IDs that are as long as their number is high, so that some do not fit into a record.
func longer(n int) string { return strings.Repeat("x", 11*n%1409) + strconv.Itoa(n) }
