package sqstest

import "regexp"

// batchID is what the entries of all batches have.
type batchID struct {
	ID string `json:"Id"`
}

func (b batchID) id() string { return b.ID }

// partial is a fault that concerns the first entries of a batch.
type partial struct {
	failing int
	because *refusal
}

type batchResult struct {
	Successful []any
	Failed     []batchFailure `json:",omitempty"`
}

type batchFailure struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

var batchIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch finds what is wrong with a batch as a whole.
func checkBatch[E interface{ id() string }](kind string, entries []E) *refusal {
	switch {
	case len(entries) == 0:
		return refuse("EmptyBatchRequest", "There should be at least one %s in the request.", kind)
	case len(entries) > maxBatch:
		return refuse("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	ids := map[string]bool{}
	for _, e := range entries {
		if !batchIDs.MatchString(e.id()) {
			return refuse("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if ids[e.id()] {
			return refuse("BatchEntryIdsNotDistinct", "Id %s repeated.", e.id())
		}
		ids[e.id()] = true
	}
	return nil
}

// doBatch does each entry for itself.
func doBatch[E any, P interface {
	*E
	id() string
}](entries []E, fault partial, do func(P) (any, *refusal)) (any, *refusal) {
	out := batchResult{Successful: []any{}}
	for i := range entries {
		e := P(&entries[i])
		var result any
		err := fault.because
		if i >= fault.failing {
			result, err = do(e)
		}
		if err != nil {
			out.Failed = append(out.Failed, batchFailure{e.id(), err.query(), err.message, err.status() < 500})
			continue
		}
		out.Successful = append(out.Successful, result)
	}
	return out, nil
}
