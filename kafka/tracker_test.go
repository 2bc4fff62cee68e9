package kafka

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

func TestWhatIsSettledBeyondThePrefixIsToldWhateverTheOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tr := newTracker(0, -1, nil)
		settled, offset := map[int64]bool{}, int64(0)
		var came []int64
		var open []uint64
		for range 3_000 {
			if len(open) < 500 && rnd.IntN(2) == 0 {
				for range rnd.IntN(40) {
					seq, _, fresh := tr.add(&kgo.Record{Offset: offset})
					require.True(t, fresh)
					came, open = append(came, offset), append(open, seq)
					offset += 1 + int64(rnd.IntN(2)*rnd.IntN(3)) // some are compacted away
				}
			}
			for range rnd.IntN(40) {
				if len(open) == 0 {
					break
				}
				i := rnd.IntN(min(len(open), 1+rnd.IntN(200)))
				settled[tr.at(open[i]).offset] = true
				tr.settle(open[i], tr.at(open[i]))
				open = append(open[:i], open[i+1:]...)
			}
			for len(came) > 0 && settled[came[0]] {
				came = came[1:]
			}
			var want []span
			for i, o := range came {
				switch {
				case !settled[o]:
				case settled[came[i-1]]: // the first is not settled
					want[len(want)-1].to = o + 1
				default:
					want = append(want, span{o, o + 1})
				}
			}
			got, failed := tr.progress(false)
			require.Empty(t, failed)
			require.Len(t, got, len(want), "seed %d", seed)
			for i := range want {
				require.Equal(t, want[i], got[i], "seed %d", seed)
			}
		}
	}
}

func TestLaneWithManyRecordsDoesNotFallFarBehindTheOthers(t *testing.T) {
	t.Parallel()
	s := newSubscriber(nil, "one", subscription{mode: KeyLanes})
	s.limits = limits{bytes: defaultHeld, records: aheadRecords}
	s.perLane = 64
	p := s.newPartition(0, 0, -1, [16]byte{}, "", nil)
	p.started = true
	s.parts[0] = p
	var most uint64
	for offset := int64(0); offset < 100_000; {
		if p.queued < 256 {
			rs := make([]*kgo.Record, 1_000)
			for i := range rs {
				key := "k" + strconv.FormatInt(offset%997, 10)
				if offset%20 == 0 {
					key = "busy"
				}
				rs[i] = &kgo.Record{Offset: offset, Key: []byte(key)}
				offset++
			}
			p.absorb(rs)
		}
		ds := s.take(eventflow.Want{Events: 64, PerLane: 64})
		require.NotEmpty(t, ds)
		most = max(most, p.handed-p.head) // 5,900 where each lane always gives the same part
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		p.pending, s.fresh = p.pending[:0], s.fresh[:0]
	}
	require.Less(t, most, uint64(2_000), "what is run lies far apart")
}
