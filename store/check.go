package store

import (
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// CheckHolder is for whoever implements a [Store]: Claim and Renew refuse an empty owner and a lease of no length, each
// with a *eventflow.ConfigError, before they do anything else.
func CheckHolder(owner string, lease time.Duration) error {
	if owner == "" {
		return &eventflow.ConfigError{Field: "store owner", Value: owner, Allowed: "a name of the process"}
	}
	if lease <= 0 {
		return &eventflow.ConfigError{Field: "store lease", Value: lease.String(), Allowed: "a duration above zero"}
	}
	return nil
}

// Check is for whoever implements a [Store]: it gives a *eventflow.ConfigError for what no store may write, such as an
// outcome that is not final as an end.
func (f *Finish) Check() error {
	switch {
	case f.Claim == nil:
		return &eventflow.ConfigError{Field: "store.Finish.Claim", Value: "nil", Allowed: "a claim that was granted"}
	case f.State < Terminal || f.State > Released:
		return &eventflow.ConfigError{Field: "store.Finish.State", Value: strconv.Itoa(int(f.State)), Allowed: "Terminal, Failed or Released"}
	case f.State == Terminal && !f.Outcome.Final():
		return &eventflow.ConfigError{Field: "store.Finish.Outcome", Value: f.Outcome.String(), Allowed: "an outcome that is final, when the state is Terminal"}
	}
	return nil
}
