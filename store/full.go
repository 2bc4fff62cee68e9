package store

import "fmt"

// FullError is the error of a Claim for which there is no room: every key that the store holds is unfinished, so none
// may be forgotten. Nothing of the call was claimed. It matches [ErrFull]; runs that end make room.
type FullError struct {
	Capacity int // keys that the store may hold; see [Capacity]
	Asked    int // keys of the call that it does not hold yet
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%v: %d more do not fit into a capacity of %d", ErrFull, e.Asked, e.Capacity)
}

// Unwrap makes errors.Is(err, ErrFull) true.
func (e *FullError) Unwrap() error { return ErrFull }
