package runner

import (
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

// Pause stops a trigger by name: an event clock is not asked for more, a time clock's fires are skipped and counted so.
// What was received before goes its way. Pausing twice is pausing once. An unknown name is a *[eventflow.ConfigError].
func (r *FlowRunner) Pause(trigger string) error { return r.setPaused(trigger, true) }

// Resume undoes [FlowRunner.Pause]. A time clock goes on with its next fire.
func (r *FlowRunner) Resume(trigger string) error { return r.setPaused(trigger, false) }

func (r *FlowRunner) setPaused(trigger string, paused bool) error {
	r.mu.Lock()
	defer r.unlock()
	var names []string
	for _, s := range r.c.sources {
		if s.name != trigger {
			names = append(names, s.name)
			continue
		}
		if s.paused = paused; paused && s.cutNext != nil {
			s.cutNext()
		}
		s.signal()
		return nil
	}
	for _, tm := range r.c.timers {
		if tm.name == trigger {
			tm.paused = paused
			return nil
		}
		names = append(names, tm.name)
	}
	return &eventflow.ConfigError{Field: "trigger of flow " + r.flow.Name(), Value: trigger, Allowed: "one of " + strings.Join(names, ", ")}
}
