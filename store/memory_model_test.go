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

func (m *model) forget(k eventflow.Key) {
	delete(m.keys, k)
	if i := slices.Index(m.ended, k); i >= 0 {
		m.ended = slices.Delete(m.ended, i, i+1)
	}
}

// makeRoom forgets what is past its window: two done keys in passing, and of the unfinished ones all, when there is no
// room otherwise.
func (m *model) makeRoom(k eventflow.Key) {
	for n := 2; n > 0 && len(m.ended) > 0 && time.Since(m.keys[m.ended[0]].until) >= m.window; n-- {
		m.forget(m.ended[0])
	}
	if m.keys[k] != nil || len(m.keys) < m.capacity || len(m.ended) > 0 {
		return
	}
	for old, r := range m.keys {
		if time.Since(r.until) >= m.window {
			m.forget(old)
		}
	}
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

// Random calls by several owners, in time that passes: the store answers each as the model does.
func TestMemoryAnswersAsItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { compareWithModel(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func compareWithModel(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	capacity := 1 << rnd.IntN(8)
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
	for range 3000 {
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
			if g, ok := pick(); ok {
				f := store.Finish{Claim: &g.claim, State: store.Terminal + store.State(rnd.IntN(3))}
				if f.State == store.Terminal {
					f.Outcome = []eventflow.Outcome{eventflow.Succeeded, eventflow.Skipped}[rnd.IntN(2)]
				}
				if r := want.keys[g.claim.Key]; r != nil && r.fence == g.claim.Fence && !r.running {
					continue // finished twice: answered as the first, which the model does not know
				}
				fs := []store.Finish{f}
				require.NoError(t, m.Finish(t.Context(), g.owner, fs))
				require.Equal(t, want.finish(g.owner, g.claim.Key, g.claim.Fence, f.State, f.Outcome), fs[0].Fenced)
			}
		default:
			k := eventflow.Key{Flow: "f", Source: strconv.Itoa(rnd.IntN(3)), ID: longer(rnd.IntN(capacity))}
			cs := []store.Claim{{Key: k}}
			if err := m.Claim(t.Context(), owner, lease, cs); err != nil {
				require.ErrorIs(t, err, store.ErrFull)
				want.makeRoom(k)
				require.Len(t, want.keys, capacity)
				require.Empty(t, want.ended)
				require.Nil(t, want.keys[k])
				continue
			}
			c := cs[0]
			want.makeRoom(k)
			s, fence, attempts, o := want.claim(owner, lease, k)
			require.Equal(t, s.String(), c.Status.String(), k)
			require.Equal(t, []int{fence, attempts, int(o)}, []int{c.Fence, c.Attempts, int(c.Outcome)})
			if s == store.Granted {
				grants = append(grants, grant{owner, c})
			}
			if r := want.keys[k]; s != store.Done {
				require.True(t, c.Until.Equal(r.until))
			}
		}
	}
}

// longer gives IDs that are as long as their number is high, so that some do not fit into a record.
func longer(n int) string { return strings.Repeat("x", 11*n) + strconv.Itoa(n) }
