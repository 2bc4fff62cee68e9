package runnertest

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is the harness of the memory broker and the memory store.
func memory(virtual bool) Harness {
	return Harness{Broker: brokertest.Harness{Open: openMemory, Virtual: virtual}}
}

func TestMemoryInVirtualTime(t *testing.T) {
	t.Parallel()
	Run(t, Harness{Broker: brokertest.Harness{Virtual: true}})
}

func TestMemoryInRealTime(t *testing.T) {
	t.Parallel()
	h := memory(false)
	h.Broker.Quiet = 100 * time.Millisecond
	h.Excused = map[string]string{
		"ReplicasRunEachFireOnce": "asked with skewed clocks, which take as long", // a third of a minute
	}
	Run(t, h)
}
