package kafka_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// BenchmarkPublish compares calls of 1 and of 500 events of 1 KiB with the raw client's, which sends the same headers.
// Calls alternate, and the median of the ratios of neighbours is what counts: more than 1 is faster than raw. An op is a
// call of each.
func BenchmarkPublish(b *testing.B) {
	for name, n := range map[string]int{"lone": 1, "500": 500} {
		b.Run(name, func(b *testing.B) {
			seeds := serve(b, 0, 1)
			k, err := kafka.New(kafka.Config{Seeds: seeds, Logger: quietLog})
			require.NoError(b, err)
			p, err := k.OpenPublisher("bench")
			require.NoError(b, err)
			cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ProducerLinger(0))
			require.NoError(b, err)
			evs := make([]eventflow.Event, n)
			for i := range evs {
				evs[i] = eventflow.Event{ID: number4(i), Source: "/bench", Type: "bench", Key: number4(i), Data: make([]byte, 1024)}
			}
			raw := func() time.Duration {
				begin := time.Now()
				rs := make([]*kgo.Record, n)
				for i := range rs {
					rs[i] = &kgo.Record{Topic: "bench", Key: []byte(evs[i].Key), Value: evs[i].Data, Headers: []kgo.RecordHeader{
						{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte(evs[i].ID)},
						{Key: "ce_source", Value: []byte("/bench")}, {Key: "ce_type", Value: []byte("bench")},
					}}
				}
				require.NoError(b, cl.ProduceSync(b.Context(), rs...).FirstErr())
				return time.Since(begin)
			}
			ours := func() time.Duration {
				begin := time.Now()
				require.NoError(b, p.Publish(b.Context(), evs...))
				return time.Since(begin)
			}
			for range 3 {
				raw()
				ours()
			}
			ratios := make([]float64, 0, b.N)
			b.ResetTimer()
			for i := range b.N {
				var r, o time.Duration
				if i%2 == 0 {
					r, o = raw(), ours()
				} else {
					o, r = ours(), raw()
				}
				ratios = append(ratios, float64(r)/float64(o))
			}
			b.StopTimer()
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "of-raw")
			cl.Close()
			require.NoError(b, k.Close(b.Context()))
		})
	}
}

// number4 is a number as a text of four digits.
func number4(i int) string {
	return string([]byte{byte('0' + i/1000%10), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
}
