package runner

import (
	"strconv"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// State is where a runner is in its life. It only moves forward.
type State int

const (
	// Scheduled: made, Listen was not called.
	Scheduled State = iota
	// Starting: subscribers connect, and nothing was received yet.
	Starting
	// Listening: events and fires start runs.
	Listening
	// Stopping: nothing is received any more, runs finish.
	Stopping
	// Stopped: Listen returned without an error.
	Stopped
	// Failed: Listen returned an error.
	Failed
)

// String gives the state's name, capitalised as the life of a flow run is told: "Listening".
func (s State) String() string {
	switch s {
	case Scheduled:
		return "Scheduled"
	case Starting:
		return "Starting"
	case Listening:
		return "Listening"
	case Stopping:
		return "Stopping"
	case Stopped:
		return "Stopped"
	case Failed:
		return "Failed"
	}
	return "Unknown"
}

// State gives where the runner is now.
func (r *FlowRunner) State() State {
	r.mu.Lock()
	defer r.unlock()
	return r.state
}

// Ready is closed when the runner listens: every subscriber has started. It stays open when Listen fails before.
func (r *FlowRunner) Ready() <-chan struct{} { return r.ready }

// Pause stops a trigger of this runner by name: an event clock is not asked for more, a time clock's fires are skipped and
// counted so. What was received before goes its way. Pausing twice is pausing once. An unknown name is a
// *[eventflow.ConfigError].
//
// Other runners of the flow go on: with a store that they share, they receive the events, and run the fires. A paused fire
// leaves no mark in the store. One that nobody ran is, after a restart, one of those that were missed: [Missed] says what
// becomes of it. So a pause does not outlive its runner; what must stop for good is to be taken out of the options.
func (r *FlowRunner) Pause(trigger string) error { return r.setPaused(trigger, true) }

// Resume undoes [FlowRunner.Pause]. A time clock goes on with its next fire; [FlowRunner.Backfill] runs those between.
func (r *FlowRunner) Resume(trigger string) error { return r.setPaused(trigger, false) }

func (r *FlowRunner) setPaused(trigger string, paused bool) error {
	r.mu.Lock()
	defer r.unlock()
	for _, s := range r.c.sources {
		if s.name != trigger {
			continue
		}
		if s.paused = paused; paused && s.cutNext != nil {
			s.cutNext()
		}
		s.signal()
		return nil
	}
	if tm := r.timer(trigger); tm != nil {
		tm.paused = paused
		return nil
	}
	return r.unknown("trigger", trigger, r.c.sources)
}

// unknown is the error of a name that no clock, and none of the sources, has.
func (r *FlowRunner) unknown(field, name string, sources []*source) error {
	const most = 10
	names := make([]string, 0, len(sources)+len(r.c.timers))
	for _, s := range sources {
		names = append(names, s.name)
	}
	for _, tm := range r.c.timers {
		names = append(names, tm.name)
	}
	allowed := "one of " + strings.Join(names[:min(len(names), most)], ", ")
	if n := len(names) - most; n > 0 {
		allowed += " and " + strconv.Itoa(n) + " more"
	}
	return &eventflow.ConfigError{Field: field + " of flow " + r.flow.Name(), Value: name, Allowed: allowed}
}
