package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Answered is what becomes of the offsets of an answer of a share group.
type Answered struct{ Handed, Absent, Failed []int64 }

// DecodeShare decodes the batches of an answer in which the offsets from first to last are locked.
func DecodeShare(batches []byte, first, last int64) (a Answered) {
	x := &shareSession{s: &shareSubscriber{topic: "t", decoder: kgo.DefaultDecompressor()}, origins: map[sharePart]*origin{}}
	p := kmsg.NewShareFetchResponseTopicPartition()
	p.Records = batches
	p.AcquiredRecords = []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{{FirstOffset: first, LastOffset: last, DeliveryCount: 1}}
	t := kmsg.NewShareFetchResponseTopic()
	t.Partitions = append(t.Partitions, p)
	res := kmsg.NewPtrShareFetchResponse()
	res.Topics = append(res.Topics, t)
	got, gaps, errs := x.decode(res, "c")
	for _, r := range got {
		a.Handed = append(a.Handed, r.offset)
	}
	for _, g := range gaps {
		for o := g.first; o <= g.last; o++ {
			a.Absent = append(a.Absent, o)
		}
	}
	for _, e := range errs {
		for o := e.from; o < e.to; o++ {
			a.Failed = append(a.Failed, o)
		}
	}
	return a
}
