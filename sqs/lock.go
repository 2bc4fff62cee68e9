package sqs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// renewCalls is how many renewals of one queue, of ten messages each, are under way at once.
const renewCalls = 4

// lostCodes are those of a receipt handle that holds its message no longer: it was deleted, became visible, or was handed
// to somebody else. FIFO queues call an expired handle an invalid parameter.
var lostCodes = []string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}

func isLost(code string) bool { return slices.Contains(lostCodes, code) }

// errReceivedAgain is the cause of a lost lock when the queue handed the message out a second time.
var errReceivedAgain = fmt.Errorf("%w: its message was received again", eventflow.ErrLockLost)

// errSettled is that of a renewal which is not asked for, because the message is on its way back.
var errSettled = errors.New("settled meanwhile")

// renew is the tracker's.
func (s *subscriber) renew(ctx context.Context, rs []renew.Renewal[*message]) error {
	req := awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.t.url}
	asked := make([]*message, 0, len(rs))
	var at []int // of each that is asked for, its index in rs
	s.mu.Lock()
	c := s.client
	for i := range rs {
		m := rs[i].Lock
		rs[i].For = rs[i].Ask.Truncate(time.Second)
		if !m.until.IsZero() || m.at == stateFree || rs[i].For < time.Second {
			rs[i].Err = errSettled
			continue
		}
		m.renewal = true
		req.Entries = append(req.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryIDs[len(asked)], ReceiptHandle: aws.String(m.handle), VisibilityTimeout: int32(rs[i].For / time.Second),
		})
		asked, at = append(asked, m), append(at, i)
	}
	s.mu.Unlock()
	if len(asked) == 0 {
		return nil
	}
	defer s.renewed(asked)
	out := s.changeVisibility(ctx, c, &req)
	for n, i := range at {
		rs[i].Err = out.of(n)
	}
	return nil
}

// entryFault gives the error of one message of a batch; it matches ErrLockLost when the message is not ours any more.
func entryFault(f *types.BatchResultErrorEntry) error {
	err := &entryError{code: shortCode(aws.ToString(f.Code)), text: aws.ToString(f.Message)}
	if isLost(err.code) {
		return fmt.Errorf("sqs: %w: %w", eventflow.ErrLockLost, err)
	}
	return err
}

// renewed lets those be given back that waited for their renewal's answer.
func (s *subscriber) renewed(ms []*message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range ms {
		m.renewal = false
	}
	s.backs.flush()
}

// lost is the tracker's: the locks of messages are gone, or will be before they could be renewed.
func (s *subscriber) lost(ms []*message, err error) {
	var open, settled []*eventflow.Delivery
	s.mu.Lock()
	for _, m := range ms {
		o, x := s.lose(m)
		open, settled = append(open, o...), append(settled, x...)
	}
	s.backs.flush()
	s.signal()
	s.checkDrained()
	s.mu.Unlock()
	s.tellLost(open, settled, s.wrap(err))
}

// tellLost tells of open deliveries that they are lost, and of settled ones that their settlement was not confirmed.
func (s *subscriber) tellLost(open, settled []*eventflow.Delivery, err error) {
	if tell := s.listening.Lost; len(open) > 0 && tell != nil {
		tell(open, err)
	}
	if tell := s.listening.Settled; len(settled) > 0 && tell != nil {
		tell(settled, err)
	}
}

// lose takes a message away whose lock is lost. It gives what was open and what was settled of it. The caller holds the
// lock.
func (s *subscriber) lose(m *message) (open, settled []*eventflow.Delivery) {
	if m.at == stateFree {
		return nil, nil
	}
	back := false
	m.each(func(p *message) {
		switch p.at {
		case stateHanded:
			if p.d.Lose() {
				open = append(open, &p.d)
				s.unhand(p)
				back = true
			} else {
				p.gone = true // its settlement is about to come
			}
		case stateSettled:
			if !p.quiet {
				settled = append(settled, &p.d)
			}
		case stateBuffered:
			back = true
		case stateFree:
		}
	})
	if m.at != stateHanded || m.parts != nil || !m.gone {
		s.drop(m)
	}
	if back {
		s.giveBackLane(m.d.Lane)
	}
	return open, settled
}
