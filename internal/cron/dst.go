package cron

// Gap says what becomes of a reading that the wall clock jumps over.
type Gap uint8

// The numbers of Gap and Overlap are those of the root package's types.
const (
	GapVixie Gap = iota // GapAfter, or GapSkip for a wildcard job
	GapSkip             // it does not run
	GapAfter            // it runs at the first instant after the gap; several run once
	GapShift            // it runs when it would have come with the offset before the gap
)

// Overlap says what becomes of a reading that the wall clock shows twice.
type Overlap uint8

// As the numbers of Gap.
const (
	OverlapVixie Overlap = iota // OverlapFirst, or OverlapBoth for a wildcard job
	OverlapFirst                // it runs the first time
	OverlapLast                 // it runs the last time
	OverlapBoth                 // it runs both times
)

// DST is a choice for each side.
type DST struct {
	Gap     Gap
	Overlap Overlap
}

// For puts what Vixie's rule means for a job in place of its name. Next and Place want it.
func (d DST) For(wildcard bool) DST {
	if d.Gap == GapVixie {
		d.Gap = GapAfter
		if wildcard {
			d.Gap = GapSkip
		}
	}
	if d.Overlap == OverlapVixie {
		d.Overlap = OverlapFirst
		if wildcard {
			d.Overlap = OverlapBoth
		}
	}
	return d
}
