package runnertest

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// T is what a harness is given: the methods of *testing.T that rules use.
type T = conform.T

// Harness is a broker and a store under a runner.
type Harness struct {
	// Broker opens the broker; the suite reads all of it but Excused, whose names are brokertest's. Without Open it is the
	// memory broker, which can be asked every rule: what a store is tested with.
	Broker brokertest.Harness

	// Store gives an empty store, one for each call. Whoever opens closes, with t.Cleanup. Nil: a memory store.
	Store func(t T) store.Store

	// Lease is what rules wait for that let a claim lapse: the shortest that the store can do. Default: 1 s, virtual
	// 30 s. No process may stand still for so long, or its runs are cancelled as they should be.
	Lease time.Duration

	// Soon is how long it may take, from Listen's return, until another consumer has what was handed back. Default: 2 s.
	// A broker that makes new consumers wait for longer, because their group is rebalanced, says so here.
	Soon time.Duration

	// Late is how late a fire may be behind a backlog of events. Default: 1 s. A store that many rules load at once needs
	// longer.
	Late time.Duration

	// Backlog is the number of events behind which no fire may be late. Default: 5,000, virtual 20,000.
	Backlog int

	// Excused maps rules that are not asked to the reason. Every rule that the broker's Features or its fixture exclude
	// must be in it. See [Rules].
	Excused map[string]string

	plant plant
}

// plant lays faults between the runner and the watched handles, so that the suite can be tested: a subscriber that
// acknowledges what it hands over is a runner that acknowledges too early.
type plant struct {
	options    []runner.Option // behind the rule's own, which they override
	subscriber func(p *process, s eventflow.Subscriber) eventflow.Subscriber
	publisher  func(p *process, pub eventflow.Publisher) eventflow.Publisher
	store      func(p *process, s store.Store) store.Store
	run        func(ctx context.Context, err error) error // of what a flow returned
}

// withDefaults fills what is zero.
func (h Harness) withDefaults() Harness {
	h.Broker = h.Broker.WithDefaults()
	if h.Broker.Open == nil {
		h.Broker.Open = openMemory
	}
	lease, backlog := time.Second, 5_000
	if h.Broker.Virtual {
		lease, backlog = 30*time.Second, 20_000
	}
	if h.Lease <= 0 {
		h.Lease = lease
	}
	if h.Soon <= 0 {
		h.Soon = 2 * time.Second
	}
	if h.Late <= 0 {
		h.Late = time.Second
	}
	if h.Backlog <= 0 {
		h.Backlog = backlog
	}
	if h.Store == nil {
		h.Store = func(t T) store.Store {
			s := store.NewMemory()
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
	}
	return h
}
