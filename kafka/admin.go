package kafka

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TopicLister = (*Broker)(nil)

const opList = "list"

// Topics lists the topics that the user may see, in order, without Kafka's own.
func (b *Broker) Topics(ctx context.Context) ([]string, error) {
	cl, err := b.client()
	if err != nil {
		return nil, err
	}
	topics, err := ask(ctx, b, func(ctx context.Context) (kadm.TopicDetails, error) { return kadm.NewClient(cl).ListTopics(ctx) })
	if err != nil {
		return nil, b.explain(opList, "", err, false)
	}
	return topics.Names(), nil
}

// Partition is one partition of a topic.
type Partition struct {
	Partition  int
	Start, End int64 // of the offsets that are there: Start is the first, End is the next to be written
}

// Partitions gives the partitions of a topic in order.
func (b *Broker) Partitions(ctx context.Context, topic string) ([]Partition, error) {
	cl, err := b.client()
	if err != nil {
		return nil, err
	}
	ps, err := ask(ctx, b, func(ctx context.Context) ([]Partition, error) { return partitions(ctx, kadm.NewClient(cl), topic) })
	return ps, b.explain(opList, topic, err, false)
}

func partitions(ctx context.Context, adm *kadm.Client, topic string) ([]Partition, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(starts.Error(), ends.Error()); err != nil {
		return nil, err
	}
	var ps []Partition
	for id, start := range starts[topic] {
		if end, ok := ends.Lookup(topic, id); ok {
			ps = append(ps, Partition{Partition: int(id), Start: start.Offset, End: end.Offset})
		}
	}
	if len(ps) == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	slices.SortFunc(ps, func(a, b Partition) int { return cmp.Compare(a.Partition, b.Partition) })
	return ps, nil
}

// PartitionLag is how far a group is in one partition.
type PartitionLag struct {
	Partition

	// Committed is the offset up to which all is settled, and -1 when the group has committed none yet. Events beyond it
	// may be settled too: in key lanes and unordered those that are known to be are in the commit's metadata.
	Committed int64
	// Lag is the number of offsets from Committed, or from Start where that is later, to End. Compaction and
	// transactions leave gaps in the offsets, so there may be fewer events.
	Lag int64
}

// Lag gives the partitions of a topic in order, and how far a group of consumers is in each. It asks the cluster and
// needs no subscriber. Share groups have no such offsets.
func (b *Broker) Lag(ctx context.Context, topic, group string) ([]PartitionLag, error) {
	cl, err := b.client()
	if err != nil {
		return nil, err
	}
	lags, err := ask(ctx, b, func(ctx context.Context) ([]PartitionLag, error) { return lag(ctx, kadm.NewClient(cl), topic, group) })
	return lags, b.explain(opList, topic, err, false)
}

func lag(ctx context.Context, adm *kadm.Client, topic, group string) ([]PartitionLag, error) {
	committed, err := adm.FetchOffsetsForTopics(ctx, group, topic)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that never was has committed nothing
		return nil, err
	}
	ps, err := partitions(ctx, adm, topic) // after the commits: a lag below zero would be wrong
	if err != nil {
		return nil, err
	}
	lags := make([]PartitionLag, len(ps))
	for i, p := range ps {
		lags[i] = PartitionLag{Partition: p, Committed: -1, Lag: p.End - p.Start}
		c, ok := committed.Lookup(topic, int32(p.Partition))
		switch {
		case ok && c.Err != nil:
			return nil, c.Err
		case ok && c.At >= 0:
			lags[i].Committed, lags[i].Lag = c.At, max(p.End-max(c.At, p.Start), 0)
		}
	}
	return lags, nil
}
