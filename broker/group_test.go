package broker_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestWhatIsPublishedBeforeAnyGroupIsKeptForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, m: setup(t).m}
		b.p = b.m.Publisher("early")
		b.publish("1", "2")
		require.Equal(t, 2, b.m.Stats("early", "").Queued)
		first := b.m.Subscriber("early", eventflow.Group("first"))
		later := b.m.Subscriber("early")
		b.publish("3")
		require.Equal(t, []string{"1", "2", "3"}, texts(nextOf(t, first, eventflow.Want{Events: 9})))
		require.Equal(t, []string{"3"}, texts(nextOf(t, later, eventflow.Want{Events: 9})))
	})
}

func TestEachGroupSeesEveryEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	groups := []eventflow.Subscriber{b.s, b.m.Subscriber("q", eventflow.Group("a")), b.m.Subscriber("q", eventflow.Group("b"))}
	b.publish("1", "2")
	for _, s := range groups {
		ds := nextOf(t, s, eventflow.Want{Events: 9})
		require.Equal(t, []string{"1", "2"}, texts(ds))
		ack(ds...)
	}
}

func TestConsumersOfAGroupCompete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		second := b.m.Subscriber("q")
		b.publish("1", "2", "3")
		require.Equal(t, []string{"1", "2"}, texts(b.next(2)))
		require.Equal(t, []string{"3"}, texts(nextOf(t, second, eventflow.Want{Events: 2})))
		none(t, b.s, eventflow.Want{})
		none(t, second, eventflow.Want{})
	})
}

func TestGroupStaysWhenItsConsumersHaveGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.s.Close(t.Context()))
	b.publish("1")
	require.Equal(t, []string{"1"}, texts(nextOf(t, b.m.Subscriber("q"), eventflow.Want{})))
}

func TestEveryWaitingConsumerGetsItsShareOfOnePublish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		got := make(chan string, 3)
		for range 3 {
			s := b.m.Subscriber("q")
			go func() {
				ds, err := s.Next(t.Context(), eventflow.Want{Events: 1})
				if err != nil {
					t.Errorf("next: %v", err)
					return
				}
				got <- string(ds[0].Event.Data)
			}()
		}
		synctest.Wait()
		b.publish("1", "2", "3")
		synctest.Wait()
		require.Len(t, got, 3, "nobody sleeps on while there is something")
	})
}
