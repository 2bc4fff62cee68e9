package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
)

// where gives the URL of a new schema.
func where(t *testing.T) string {
	t.Helper()
	at := server(t)
	u, err := url.Parse(at)
	require.NoError(t, err)
	q := u.Query()
	q.Set("schema", schema(t, at))
	u.RawQuery = q.Encode()
	return u.String()
}

func openAt(ctx context.Context, at string) (store.Store, error) {
	return store.Open(ctx, at, postgres.Scheme)
}

func TestKilledProcessLosesNoEndAndHoldsNoClaim(t *testing.T) {
	t.Parallel()
	sqltest.Survives(t, where(t), openAt)
}

func TestProcessesOnOneSchemaGrantEachKeyOnce(t *testing.T) {
	t.Parallel()
	sqltest.Shared(t, where(t), 4, 500)
}

// outage is how long the server is disturbed: EVENTFLOW_OUTAGE, 6 seconds by default.
func outage() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("EVENTFLOW_OUTAGE")); err == nil {
		return d
	}
	return 6 * time.Second
}

// Not parallel: the server is everybody's.
func TestRestartedServerAndCutConnectionsLoseNothing(t *testing.T) { //nolint:paralleltest // see above
	at := server(t)
	restart := os.Getenv("EVENTFLOW_POSTGRES_RESTART")
	name := schema(t, at)
	s, err := postgres.Open(t.Context(), at, postgres.Schema(name))
	require.NoError(t, err)
	defer s.Close() //nolint:errcheck // the test is about the answers before

	stop := make(chan struct{})
	var claimed, ended atomic.Int64
	var runs sync.Map // of every ID to how often it was granted
	var load sync.WaitGroup
	for w := range 16 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, i)
				cs := []store.Claim{{Key: sqltest.WorkerKey(id)}}
				for s.Claim(t.Context(), "worker-"+strconv.Itoa(w), time.Hour, cs) != nil {
					time.Sleep(10 * time.Millisecond)
				}
				if cs[0].Status != store.Granted {
					continue // it was granted by a call that failed after all tries: its lease will lapse
				}
				claimed.Add(1)
				if _, again := runs.LoadOrStore(id, true); again {
					t.Errorf("%s was granted twice", id)
				}
				fs := []store.Finish{{Claim: &cs[0], State: store.Terminal, Outcome: eventflow.Succeeded}}
				for s.Finish(t.Context(), "worker-"+strconv.Itoa(w), fs) != nil {
					time.Sleep(10 * time.Millisecond)
				}
				if fs[0].Fenced {
					t.Errorf("the end of %s was fenced", id)
				}
				ended.Add(1)
			}
		})
	}
	for end, n := time.Now().Add(outage()), 0; time.Now().Before(end); n++ {
		time.Sleep(2 * time.Second)
		if n%2 == 0 && restart != "" {
			require.NoError(t, exec.CommandContext(t.Context(), restart).Run())
			continue
		}
		_ = execute(at, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'")
	}
	before := ended.Load()
	require.Eventually(t, func() bool { return ended.Load() > before+16 }, 20*time.Second, 10*time.Millisecond, "it did not come back")
	close(stop)
	load.Wait()
	var cs []store.Claim
	runs.Range(func(id, _ any) bool {
		cs = append(cs, store.Claim{Key: sqltest.WorkerKey(id.(string))})
		return true
	})
	for chunk := range slices.Chunk(cs, 1000) {
		require.NoError(t, s.Claim(t.Context(), "after", time.Minute, chunk))
		for i := range chunk {
			require.Equal(t, store.Done, chunk[i].Status, chunk[i].Key)
		}
	}
	t.Logf("%d claimed, %d ended", claimed.Load(), ended.Load())
}
