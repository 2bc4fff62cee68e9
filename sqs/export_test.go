package sqs

import (
	"context"
	"errors"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
)

// stalled is a client whose renewals go into a black hole.
type stalled struct{ client }

func (c stalled) ChangeMessageVisibilityBatch(ctx context.Context, _ *awssqs.ChangeMessageVisibilityBatchInput, _ ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// crashed is the client of a process that died.
type crashed struct{ stalled }

var errCrashed = errors.New("the process is dead")

func (c crashed) DeleteMessageBatch(context.Context, *awssqs.DeleteMessageBatchInput, ...func(*awssqs.Options)) (*awssqs.DeleteMessageBatchOutput, error) {
	return nil, errCrashed
}

func (c crashed) ReceiveMessage(context.Context, *awssqs.ReceiveMessageInput, ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	return nil, errCrashed
}

func (c crashed) ChangeMessageVisibilityBatch(context.Context, *awssqs.ChangeMessageVisibilityBatchInput, ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	return nil, errCrashed
}

// Stall lets no renewal of a subscriber be confirmed any more.
func Stall(s eventflow.Subscriber) {
	x := s.(*subscriber)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.client = stalled{x.client}
}

// Crash ends a subscriber as the death of its process would. It may be called again, and while a Close waits.
func Crash(s eventflow.Subscriber) {
	x := s.(*subscriber)
	x.mu.Lock()
	x.client = crashed{stalled{x.client}}
	closing := x.closed
	x.closed, x.finished = true, true
	if x.drained != nil {
		close(x.drained)
		x.drained = nil
	}
	for _, m := range x.slots {
		if m != nil {
			m.d.Lose()
		}
	}
	x.signal()
	end, locks := x.end, x.locks
	x.mu.Unlock()
	if end != nil {
		end()
	}
	if locks != nil {
		locks.Close()
	}
	x.running.Wait()
	if !closing {
		close(x.told)
	}
}

// DecodeMessage gives the event of a message.
func DecodeMessage(m *types.Message) eventflow.Event {
	var ev eventflow.Event
	decode(m, "", &ev)
	return ev
}

// EntryOf gives the message of an event as it is sent, as one of a batch.
func EntryOf(ev *eventflow.Event, fifo bool, at int) types.SendMessageBatchRequestEntry {
	out := encode(ev, fifo, false)
	return out.entry(at)
}

// Patient makes a client of the SDK's read whole answers, as ours does.
func Patient(o *awssqs.Options) { patience(o) }
