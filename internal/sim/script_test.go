package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/runner"
)

// script is all that a seed fixes. What it does not fix is the order of goroutines.
type script struct {
	Seed   uint64
	Slots  int // processes at a time
	Set    settings
	Events []input
	Faults []fault
}

// settings are those of every runner and of the broker.
type settings struct {
	MaxRuns, MaxInFlight, MaxPerLane, MaxHeldBytes, MaxDelayed, Batch int

	BatchWait, Lease, Lock, Grace, HardStop, MaxHold, Backoff, Latency, Period, Jitter time.Duration

	Overlap   runner.OverlapPolicy
	Missed    runner.MissedMode
	DeadTopic bool // dead letters go to a topic of their own
}

const maxAttempts = 3

// input is one event of the script, and what each of the flows does with it or with what becomes of it.
type input struct {
	N     int
	At    time.Duration
	Lane  string `json:"lane,omitempty"`
	Twice bool   `json:"twice,omitempty"` // it is published again
	Do    [flows]act
}

// act is what a flow does with an event.
type act struct {
	Do      deed
	Times   int           `json:"times,omitempty"` // before it succeeds
	For     time.Duration `json:"for,omitempty"`
	Results int           `json:"results,omitempty"`
}

type deed uint8

const (
	doWell deed = iota
	doSlowly
	doDeafly // ignores its context
	doFail
	doPanic
	doGoexit
	doBusy
	doPoison
	doPermanent
	doSkip
	doUndecodable
	doBreak // of a batch: an error that names no item
	deeds
)

var deedNames = [deeds]string{"well", "slow flow", "deaf flow", "failure", "panic", "goexit", "busy", "poison", "permanent", "skip", "undecodable", "batch without items"}

func (d deed) String() string { return deedNames[d] }

// The flows: in → first → mid → {second, third}. The second has the clock, the third takes batches.
const (
	first = iota
	second
	third
	flows
)

var flowNames = [flows]string{"first", "second", "third"}

const stormTime = 12 * time.Second

// newScript makes the script of a seed.
func newScript(seed uint64) *script {
	rnd := rand.New(rand.NewPCG(seed, 0x51b))
	one := func(n int) bool { return rnd.IntN(n) == 0 }
	among := func(ns ...int) int { return ns[rnd.IntN(len(ns))] }
	ms := func(least, most int) time.Duration {
		return time.Duration(least+rnd.IntN(most-least+1)) * time.Millisecond
	}
	s := &script{Seed: seed, Slots: 3 + rnd.IntN(2)}
	s.Set = settings{
		MaxRuns: among(1, 2, 4, 16), MaxInFlight: among(8, 24, 64, 256), MaxHeldBytes: among(200, 1000, 1<<20), MaxDelayed: among(1, 5, 100), Batch: 1 + rnd.IntN(8),
		Lease: ms(800, 2500), Lock: ms(800, 2500), Grace: ms(50, 800), HardStop: ms(100, 600), MaxHold: among2(rnd, 20*time.Millisecond, 300*time.Millisecond, 5*time.Minute),
		Backoff: ms(0, 40), Latency: ms(0, 3), Period: ms(1500, 3000), DeadTopic: one(3),
		Overlap: runner.OverlapPolicy(among(0, 0, 0, 1, 2, 3, 4)), Missed: runner.MissedMode(among(0, 0, 1, 2)),
	}
	s.Set.MaxPerLane = 1 + rnd.IntN(s.Set.MaxInFlight/2)
	s.Set.Batch = min(s.Set.Batch, s.Set.MaxPerLane)
	if one(3) {
		s.Set.BatchWait = ms(1, 60)
	}
	if one(4) {
		s.Set.Jitter = ms(1, 900)
	}
	lanes := 1 + rnd.IntN(8)
	at := time.Duration(0)
	for n := range 200 + rnd.IntN(60) {
		if n == 0 || one(5) { // most come in bursts
			at += time.Duration(rnd.Int64N(int64(stormTime) / 30))
		}
		in := input{N: n, At: min(at, stormTime), Twice: one(40)}
		if one(2) || lanes > 4 && one(2) {
			in.Lane = fmt.Sprintf("L%d", rnd.IntN(lanes))
		}
		for f := range in.Do {
			in.Do[f] = newAct(rnd, f)
		}
		s.Events = append(s.Events, in)
	}
	s.Faults = newFaults(rnd, s.Slots)
	return s
}

func among2(rnd *rand.Rand, ds ...time.Duration) time.Duration { return ds[rnd.IntN(len(ds))] }

func newAct(rnd *rand.Rand, flow int) act {
	few := 1 + rnd.IntN(maxAttempts-1)
	a := act{Results: 1}
	if rnd.IntN(12) == 0 {
		a.Results = rnd.IntN(4)
	}
	switch n := rnd.IntN(100); {
	case n < 62:
	case n < 74:
		a.Do, a.For = doSlowly, time.Duration(1+rnd.IntN(120))*time.Millisecond
	case n < 76:
		a.Do, a.For = doSlowly, time.Duration(1+rnd.IntN(2500))*time.Millisecond
	case n < 77 && rnd.IntN(2) == 0:
		a.Do, a.For = doDeafly, time.Duration(1+rnd.IntN(4000))*time.Millisecond
	case n < 83:
		a.Do, a.Times = doFail, few
	case n < 85:
		a.Do, a.Times = doPanic, few
	case n < 86:
		a.Do, a.Times = doGoexit, few
	case n < 90:
		a.Do, a.Times, a.For = doBusy, maxAttempts+2, time.Duration(rnd.IntN(30))*time.Millisecond
	case n < 91:
		a.Do, a.Times, a.For = doBusy, 1+rnd.IntN(2), time.Duration(rnd.IntN(1000))*time.Millisecond
	case n < 93:
		a.Do = doPoison
	case n < 94:
		a.Do = doPermanent
	case n < 96:
		a.Do = doSkip
	case n < 97:
		a.Do = doUndecodable
	case n < 99 && flow == third:
		a.Do, a.Times = doBreak, 1+rnd.IntN(2)
	}
	return a
}

// save writes the script where a later run finds it.
func (s *script) save(path string) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func load(path string) (*script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(script)
	return s, json.Unmarshal(b, s)
}

// without gives a copy that has not the events and faults from one index to another.
func (s *script) without(events, faults [2]int) *script {
	c := *s
	c.Events = slices.Delete(slices.Clone(s.Events), events[0], events[1])
	c.Faults = slices.Delete(slices.Clone(s.Faults), faults[0], faults[1])
	return &c
}

// fewerSlots gives a copy with a process less.
func (s *script) fewerSlots() *script {
	c := *s
	c.Slots--
	c.Faults = slices.DeleteFunc(slices.Clone(s.Faults), func(f fault) bool { return f.Slot >= c.Slots })
	return &c
}
