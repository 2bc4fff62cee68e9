package eventflow

import "time"

// Fire is one firing of a time clock.
type Fire struct {
	Clock   string    // the clock's name
	Nominal time.Time // the instant that the clock gave, UTC; with flow and clock it identifies the run
	Due     time.Time // Nominal plus jitter: when it was meant to start
	// Missed are earlier nominal times for which no run started, oldest first: the process was down, the machine asleep,
	// the store unreachable. Without a durable store those of a downtime are unknown.
	Missed []time.Time
	// MissedMore says that there were more than Missed holds: a scan stops at 10,000.
	MissedMore bool
	Parameters Parameters // the clock's; set into the flow's parameter struct
	Labels     []string   // the clock's
}
