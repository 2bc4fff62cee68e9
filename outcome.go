package eventflow

import "strconv"

// Outcome says how a delivery or a fire ended. Each ends in exactly one; a delivery's is final when the broker has
// confirmed its settlement.
type Outcome uint8

const (
	// Succeeded: the flow returned nil and its result was taken.
	Succeeded Outcome = iota + 1
	// DeadLettered: it will not be tried again, and its dead letter is safe.
	DeadLettered
	// Failed: a fire's attempts are exhausted. A fire has no redelivery, so nothing else is left of it; where there is a
	// dead-letter publisher, a copy was written. Of deliveries only those end so that no broker stands behind
	// (Delivery.Bound), when there is no dead-letter publisher either.
	Failed
	// Duplicate: a run of its key had reached its end before.
	Duplicate
	// Skipped: by the flow ([Skip]), a filter, or an overlap or missed-fire policy: the reason says which.
	Skipped
	// Expired: it was older than the maximum age when its turn came.
	Expired
	// HandedBack: given back to the broker, which will hand it over again; the reason says why: retry, busy, shutdown,
	// revoked, lock lost, held elsewhere.
	HandedBack
)

// Outcomes is the number of outcomes, for arrays that are indexed by one: [Outcomes + 1]int64.
const Outcomes = int(HandedBack)

var outcomeNames = [...]string{"none", "succeeded", "dead-lettered", "failed", "duplicate", "skipped", "expired", "handed back"}

// String gives the outcome's name in lower case: "succeeded", "dead-lettered" and so on.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "outcome " + strconv.Itoa(int(o))
}

// Final reports whether a run of the key has reached its end for good: a store remembers it, and the next delivery of
// the same key is a duplicate.
func (o Outcome) Final() bool {
	switch o {
	case Succeeded, DeadLettered, Failed, Skipped, Expired:
		return true
	}
	return false
}
