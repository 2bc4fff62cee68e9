package sim

import (
	"flag"
	"fmt"
	"strings"
)

var traced = flag.String("sim.trace", "", "with -sim.replay: tell the way of the events whose ID holds this text, and of the processes")

func matches(id string) bool {
	for one := range strings.SplitSeq(*traced, ",") {
		if strings.Contains(id, one) {
			return true
		}
	}
	return false
}

// tellf adds a line to the trace when it is asked for. An empty ID concerns everything. The caller holds world.mu.
func (w *world) tellf(id, format string, args ...any) {
	if *traced != "" && (id == "" || matches(id)) {
		w.trace = append(w.trace, fmt.Sprintf("%v %s %s", w.now(), id, fmt.Sprintf(format, args...)))
	}
}
