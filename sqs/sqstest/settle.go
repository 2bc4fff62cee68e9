package sqstest

import "time"

type deleteMessage struct {
	onQueue
	receipt
}

type deleteMessageBatch struct {
	onQueue
	Entries []deleteEntry
	partial
}

type deleteEntry struct {
	batchID
	receipt
}

type changeMessageVisibility struct {
	onQueue
	visibilityChange
}

type changeMessageVisibilityBatch struct {
	onQueue
	Entries []visibilityEntry
	partial
}

type visibilityEntry struct {
	batchID
	visibilityChange
}

type visibilityChange struct {
	receipt
	VisibilityTimeout *int
}

type receipt struct{ ReceiptHandle *string }

func (r *deleteMessage) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) { return nothing{}, q.remove(r.receipt) })
}

func (r *deleteMessageBatch) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		if err := checkBatch("DeleteMessageBatchRequestEntry", r.Entries); err != nil {
			return nil, err
		}
		return doBatch(r.Entries, r.partial, func(e *deleteEntry) (any, *refusal) { return e.batchID, q.remove(e.receipt) })
	})
}

func (r *changeMessageVisibility) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, now time.Time) (any, *refusal) { return nothing{}, q.change(r.visibilityChange, now) })
}

func (r *changeMessageVisibilityBatch) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, now time.Time) (any, *refusal) {
		if err := checkBatch("ChangeMessageVisibilityBatchRequestEntry", r.Entries); err != nil {
			return nil, err
		}
		return doBatch(r.Entries, r.partial, func(e *visibilityEntry) (any, *refusal) { return e.batchID, q.change(e.visibilityChange, now) })
	})
}

// byHandle is the message of a handle, nil when it is gone, and whether the handle is its latest.
func (q *queue) byHandle(r receipt) (m *message, latest bool, err *refusal) {
	if r.ReceiptHandle == nil {
		return nil, false, missing("ReceiptHandle")
	}
	h, ok := parseHandle(*r.ReceiptHandle)
	if !ok || h.queue != q.number {
		return nil, false, refuse("ReceiptHandleIsInvalid", "The input receipt handle %q is not a valid receipt handle.", *r.ReceiptHandle)
	}
	m = q.messages[h.message]
	return m, m != nil && m.receipt == h.receipt, nil
}

// remove deletes a message. Of what is gone already it says nothing. A stale handle deletes nothing; a FIFO queue says
// so, and wants the message in flight, too.
func (q *queue) remove(r receipt) *refusal {
	m, latest, err := q.byHandle(r)
	switch {
	case err != nil:
		return err
	case m == nil:
		return nil
	case q.fifo && (!latest || m.state != inFlight):
		return expired(r)
	case latest:
		q.drop(m)
	}
	return nil
}

func expired(r receipt) *refusal {
	return invalid("ReceiptHandle", *r.ReceiptHandle, "The receipt handle has expired.")
}

func (q *queue) change(r visibilityChange, now time.Time) *refusal {
	m, latest, err := q.byHandle(r.receipt)
	switch {
	case err != nil:
		return err
	case r.VisibilityTimeout == nil:
		return missing("VisibilityTimeout")
	case m == nil:
		return invalid("ReceiptHandle", *r.ReceiptHandle, "Message does not exist or is not available for visibility timeout change.")
	case !latest:
		return expired(r.receipt)
	}
	if err := checkVisibility(r.VisibilityTimeout); err != nil {
		return err
	}
	if m.state != inFlight {
		return refuse("MessageNotInflight", "The specified message isn't in flight.")
	}
	until := now.Add(time.Duration(*r.VisibilityTimeout) * time.Second)
	if until.After(m.received.Add(maxVisibility)) {
		return invalid("VisibilityTimeout", *r.VisibilityTimeout, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	q.hold(m, until)
	return nil
}
