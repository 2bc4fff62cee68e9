package sqstest

import (
	"strings"
	"time"
)

// bury makes a message a dead letter. It stays what it was, except that a FIFO queue counts its age anew.
func (q *queue) bury(m *message, to *queue, now time.Time) {
	age := m.enqueued
	q.drop(m)
	m.source, m.receipt = q.arn, 0
	to.catchUp(now)
	to.store(m, 0, now)
	if !to.fifo {
		m.enqueued = age
		to.sweepAt = now // it may be the oldest
	}
	to.settle(now)
}

// checkRedrive is what a redrive policy needs that its text does not show.
func (s *Server) checkRedrive(p redrivePolicy, fifo bool, source string) *refusal {
	if p.target == "" {
		return nil
	}
	target := s.byARN(p.target)
	switch {
	case target == nil:
		return invalid("RedrivePolicy", p.target, "Dead letter target does not exist.")
	case p.target == source:
		return invalid("RedrivePolicy", p.target, "A queue cannot be its own dead-letter queue.")
	case target.fifo != fifo:
		return invalid("RedrivePolicy", p.target, "Dead-letter queue must be same type of queue as the source.")
	case !target.set.allow.lets(source):
		return invalid("RedrivePolicy", p.target, "Dead-letter queue's RedriveAllowPolicy does not let this queue use it.")
	}
	return nil
}

type startMessageMoveTask struct {
	SourceArn, DestinationArn    string
	MaxNumberOfMessagesPerSecond *int
}

type listMessageMoveTasks struct {
	SourceArn  string
	MaxResults *int
}

type cancelMessageMoveTask struct{ TaskHandle string }

// moveTask brings the messages of a dead-letter queue back. It moves once a second as many as it may, and all at its
// start when there is no limit.
type moveTask struct {
	handle      string
	from        *queue
	destination string
	rate        int
	status      string
	reason      string
	started     time.Time
	total       int
	moved       int
	stopTimer   func() bool
}

type moveTaskResult struct {
	ApproximateNumberOfMessagesMoved  int
	ApproximateNumberOfMessagesToMove int
	DestinationArn                    string `json:",omitempty"`
	FailureReason                     string `json:",omitempty"`
	MaxNumberOfMessagesPerSecond      int    `json:",omitempty"`
	SourceArn                         string
	StartedTimestamp                  int64
	Status                            string
	TaskHandle                        string `json:",omitempty"`
}

const (
	taskRunning   = "RUNNING"
	taskCompleted = "COMPLETED"
	taskCancelled = "CANCELLED"
	taskFailed    = "FAILED"
	maxTasks      = 10 // of one queue that are remembered
	maxMoveRate   = 500
)

func (r *startMessageMoveTask) queue() string { return nameOfARN(r.SourceArn) }

func (r *startMessageMoveTask) do(c *call) (any, *refusal) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.SourceArn == "" {
		return nil, missing("SourceArn")
	}
	from := s.byARN(r.SourceArn)
	if from == nil {
		return nil, refuse("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if len(s.sources(from)) == 0 {
		return nil, invalid("SourceArn", r.SourceArn, "Source queue must be configured as a Dead Letter Queue.")
	}
	if r.DestinationArn != "" {
		to := s.byARN(r.DestinationArn)
		if to == nil {
			return nil, refuse("ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist.")
		}
		if to.fifo != from.fifo || to == from {
			return nil, invalid("DestinationArn", r.DestinationArn, "Destination must be another queue of the source's type.")
		}
	}
	rate := 0
	if n := r.MaxNumberOfMessagesPerSecond; n != nil {
		if rate = *n; rate < 1 || rate > maxMoveRate {
			return nil, invalid("MaxNumberOfMessagesPerSecond", rate, "Must be between 1 and 500, if provided.")
		}
	}
	if len(from.tasks) > 0 && from.tasks[0].status == taskRunning {
		return nil, refuse(codeUnsupported, "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	}
	now := s.clock.Now()
	from.catchUp(now)
	t := &moveTask{
		handle: newID(), from: from, destination: r.DestinationArn, rate: rate, status: taskRunning,
		started: now, total: len(from.messages) - from.inFlight - from.delayed,
	}
	from.tasks = append([]*moveTask{t}, from.tasks[:min(len(from.tasks), maxTasks-1)]...)
	t.step(now)
	return map[string]string{"TaskHandle": t.handle}, nil
}

// step moves what one second may move, and sets the timer for the next.
func (t *moveTask) step(now time.Time) {
	s := t.from.s
	for n := 0; t.rate == 0 || n < t.rate; n++ {
		m := t.from.ready.first()
		if m == nil || t.moved >= t.total {
			t.status = taskCompleted
			return
		}
		target := t.destination
		if target == "" {
			target = m.source
		}
		to := s.byARN(target)
		if to == nil {
			t.status, t.reason = taskFailed, "CouldNotDetermineMessageSource"
			return
		}
		t.from.drop(m)
		// What comes back is a new message with a new age.
		m.id, m.source, m.receives, m.receipt, m.first = newID(), "", 0, 0, time.Time{}
		to.catchUp(now)
		to.store(m, to.set.delay, now)
		to.settle(now)
		t.moved++
	}
	t.stopTimer = s.clock.AfterFunc(time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || t.status != taskRunning {
			return
		}
		now := s.clock.Now()
		t.from.catchUp(now)
		t.step(now)
	})
}

func (t *moveTask) stop() {
	if t.status == taskRunning {
		t.status = taskCancelled
		if t.stopTimer != nil {
			t.stopTimer()
		}
	}
}

func (r *listMessageMoveTasks) queue() string { return nameOfARN(r.SourceArn) }

func (r *listMessageMoveTasks) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	from := c.s.byARN(r.SourceArn)
	if from == nil {
		return nil, refuse("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	most := 1
	if r.MaxResults != nil {
		if most = *r.MaxResults; most < 1 || most > maxTasks {
			return nil, invalid("MaxResults", most, "Must be between 1 and 10, if provided.")
		}
	}
	out := []moveTaskResult{}
	for _, t := range from.tasks[:min(most, len(from.tasks))] {
		shown := moveTaskResult{
			ApproximateNumberOfMessagesMoved: t.moved, ApproximateNumberOfMessagesToMove: t.total, DestinationArn: t.destination, FailureReason: t.reason,
			MaxNumberOfMessagesPerSecond: t.rate, SourceArn: r.SourceArn, StartedTimestamp: t.started.UnixMilli(), Status: t.status,
		}
		if t.status == taskRunning {
			shown.TaskHandle = t.handle
		}
		out = append(out, shown)
	}
	return map[string]any{"Results": out}, nil
}

func (r *cancelMessageMoveTask) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, q := range c.s.queues {
		for _, t := range q.tasks {
			if t.handle != r.TaskHandle {
				continue
			}
			if t.status != taskRunning {
				return nil, refuse(codeUnsupported, "Only active tasks can be cancelled.")
			}
			t.stop()
			return map[string]int{"ApproximateNumberOfMessagesMoved": t.moved}, nil
		}
	}
	return nil, refuse("ResourceNotFoundException", "Task does not exist.")
}

// byARN is nil when there is no such queue.
func (s *Server) byARN(arn string) *queue {
	q := s.queues[nameOfARN(arn)]
	if q == nil || q.arn != arn {
		return nil
	}
	return q
}

func nameOfARN(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }
