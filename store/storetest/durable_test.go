package storetest

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

// misremembering is a sound durable store with a fault laid over it.
type misremembering struct {
	*sqlite.Store
	runs func(store.RunQuery, []store.RunRecord, string) ([]store.RunRecord, string)
	list func([]store.Listener) []store.Listener
	beat func(*store.Listener)
}

func (m *misremembering) Runs(ctx context.Context, q store.RunQuery) ([]store.RunRecord, string, error) {
	rs, next, err := m.Store.Runs(ctx, q)
	if m.runs != nil {
		rs, next = m.runs(q, rs, next)
	}
	return rs, next, err
}

func (m *misremembering) Listeners(ctx context.Context, flow, after string, limit int) ([]store.Listener, error) {
	ls, err := m.Store.Listeners(ctx, flow, after, limit)
	if m.list != nil {
		ls = m.list(ls)
	}
	return ls, err
}

func (m *misremembering) Beat(ctx context.Context, lease time.Duration, l *store.Listener) error {
	if m.beat != nil {
		m.beat(l)
	}
	return m.Store.Beat(ctx, lease, l)
}

// durable is a harness whose handles share a file, or, when apart, do not.
func durable(fault misremembering, apart bool) Harness {
	const window = time.Second
	var paths sync.Map
	open := func(t T, path any) store.Store {
		if apart {
			path = filepath.Join(t.TempDir(), "events.db")
		}
		s, err := sqlite.Open(t.Context(), path.(string), sqlite.Window(window))
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() { _ = s.Close() })
		m := fault
		m.Store = s
		paths.Store(&m, path)
		return &m
	}
	return Harness{
		Open: func(t T) store.Store { return open(t, filepath.Join(t.TempDir(), "events.db")) },
		Another: func(t T, s store.Store) store.Store {
			path, _ := paths.Load(s)
			return open(t, path)
		},
		Lease: 200 * time.Millisecond, Window: window,
	}
}

var durableFaults = []struct {
	name  string
	fault misremembering
	apart bool
	rules string
}{
	{name: "each handle has its own data", apart: true, rules: "TwoHandlesAreOneStore TwoHandlesShareSlotsAndCursors ManyHandlesGrantOne"},
	{name: "errors are cut at a zero byte", fault: misremembering{runs: func(_ store.RunQuery, rs []store.RunRecord, next string) ([]store.RunRecord, string) {
		for i := range rs {
			rs[i].Err, _, _ = strings.Cut(rs[i].Err, "\x00")
		}
		return rs, next
	}}, rules: "HistoryTellsWhatFinishSaid"},
	{name: "oldest first", fault: misremembering{runs: func(_ store.RunQuery, rs []store.RunRecord, next string) ([]store.RunRecord, string) {
		slices.Reverse(rs)
		return rs, next
	}}, rules: "HistoryIsAskedByFlowOutcomeAndTime"},
	{name: "a page ends a row early", fault: misremembering{runs: func(q store.RunQuery, rs []store.RunRecord, next string) ([]store.RunRecord, string) {
		return rs[:min(len(rs), max(q.Limit-1, 2))], next
	}}, rules: "HistoryIsPaged"},
	{name: "the history ends with the window", fault: misremembering{runs: func(_ store.RunQuery, rs []store.RunRecord, next string) ([]store.RunRecord, string) {
		return slices.DeleteFunc(rs, func(r store.RunRecord) bool { return time.Since(r.At) > time.Second }), next
	}}, rules: "HistoryOutlivesTheWindow"},
	{name: "a listener's spec is text", fault: misremembering{list: func(ls []store.Listener) []store.Listener {
		for i := range ls {
			ls[i].Spec = []byte(strings.ToValidUTF8(string(ls[i].Spec), "?"))
		}
		return ls
	}}, rules: "HeartbeatIsReadAsItWasWritten"},
	{name: "a heartbeat is always the newest", fault: misremembering{beat: func(l *store.Listener) { l.Generation = int(time.Now().UnixNano()) }}, rules: "OlderGenerationIsFenced"},
	{name: "listeners come in any order", fault: misremembering{list: func(ls []store.Listener) []store.Listener {
		slices.Reverse(ls)
		return ls
	}}, rules: "ListenersArePaged"},
}

func TestDurableRulesSeeTheirFaults(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, f := range durableFaults {
		for name := range strings.FieldsSeq(f.rules) {
			seen[name] = true
			t.Run(f.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				fs := conform.Failures(t, durable(f.fault, f.apart), conform.Find(t, durableRules, name))
				if len(fs) == 0 {
					t.Errorf("%s does not see it", name)
				}
				t.Logf("%q", fs)
			})
		}
	}
	for _, name := range DurableRules() {
		if !seen[name] {
			t.Errorf("no planted fault is seen by %s", name)
		}
	}
}

func TestWrapperWithoutAFaultKeepsTheDurableRules(t *testing.T) {
	t.Parallel()
	RunDurable(t, durable(misremembering{}, false))
}
