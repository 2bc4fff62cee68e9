package runner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// once is an event clock of the user's own, without a broker: it gives one event and then waits.
type once struct{ gave bool }

func (o *once) Next(ctx context.Context, _ eventflow.Want) ([]*eventflow.Delivery, error) {
	if !o.gave {
		o.gave = true
		return []*eventflow.Delivery{{Event: eventflow.Event{ID: "1", Source: "dir", Data: []byte("x")}}}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// What has no broker has nobody to be handed back to: the runner has to keep it while it listens.
func unboundSucceeds(t *testing.T, st store.Store, f *eventflow.Flow) {
	t.Helper()
	r := setup(t).new(f, runner.On(&once{}, runner.Named("dir")), runner.Store(st))
	stop := (&bundle{t: t}).listen(r)
	time.Sleep(time.Hour)
	c := balanced(t, r)
	require.NoError(t, stop())
	require.EqualValues(t, 1, c.Outcomes[eventflow.Succeeded], "an hour later: %v", c.Reasons)
}

func TestAnEventWithoutABrokerSurvivesAClaimHeldElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory() // the process before this one died a moment ago, with its claim
		c := []store.Claim{{Key: eventflow.Key{Flow: "f", Binding: "dir", Source: "dir", ID: "1"}}}
		require.NoError(t, st.Claim(t.Context(), "dead process", 30*time.Second, c))
		unboundSucceeds(t, st, eventflow.NewSink("f", func(context.Context, string) error { return nil }))
	})
}

// cutOff is a store whose renewals fail for the first minute.
type cutOff struct {
	store.Store
	until time.Time
}

func (c *cutOff) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	if time.Now().Before(c.until) {
		return errBoom
	}
	return c.Store.Renew(ctx, owner, lease, cs)
}

func TestAnEventWithoutABrokerSurvivesALostClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		unboundSucceeds(t, &cutOff{store.NewMemory(), time.Now().Add(time.Minute)}, eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			select {
			case <-time.After(40 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	})
}
