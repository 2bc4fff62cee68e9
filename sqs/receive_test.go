package sqs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// A receive brings several messages of a group. Those that wait behind one that goes back must go back as well: the queue
// does not give it again while they are in flight, and they would overtake it.
func TestNothingOfALaneThatWasReceivedOvertakesWhatGoesBack(t *testing.T) {
	t.Parallel()
	for way, st := range map[string]eventflow.Settlement{
		"a release": {Verb: eventflow.Release},
		"a nack":    {Verb: eventflow.Nack, After: 5 * time.Second},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, "q.fifo", sqstest.Queue{})
				b.publish(3, "lane")
				s := b.broker.Subscriber("q.fifo")
				one := func() *eventflow.Delivery {
					ds, err := s.Next(b.ctx, eventflow.Want{Events: 10, PerLane: 1})
					require.NoError(t, err)
					require.Len(t, ds, 1)
					return ds[0]
				}
				first := one()
				require.Equal(t, 3, b.server.Stats("q.fifo").InFlight, "the others came with it")
				first.Settle(st)
				var order []string
				for range 3 {
					d := one()
					order = append(order, d.Event.ID)
					d.Ack()
				}
				require.Equal(t, []string{"e-0", "e-1", "e-2"}, order)
				require.NoError(t, s.Close(b.ctx))
			})
		})
	}
}
