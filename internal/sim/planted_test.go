package sim

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var plantedSeeds = flag.Int("sim.planted", 0, "prove that the simulation finds each planted fault, within so many seeds; all have been found within 20")

// plantedFault is one mistake, made in the source of the runner, or under it.
type plantedFault struct {
	name string
	file string // from the module's root
	old  string // stands there exactly once
	new  string
	// finds are the rules that may be broken first. What one mistake does depends on which event it meets.
	finds []rule
}

var plantedFaults = []plantedFault{
	{"acknowledged before its results are published", "runner/flush.go", "\t} else {\n\t\tr.publish(c, ts)", "\t} else {\n\t\tr.settle(c, ts)\n\t\tr.publish(c, ts)", []rule{ackLast}},
	{
		"held by another is read as done", "runner/claim.go", "verdict{turn: turnParked, reason: reasonElsewhere, after:",
		"verdict{turn: turnEnd, outcome: eventflow.Duplicate, verb: eventflow.Ack, after:", []rule{ackLast, laneOrder},
	},
	{"a failed run is finished as terminal", "runner/claim.go", "f.State, f.Err = store.Failed,", "f.State, f.Outcome, f.Err = store.Terminal, eventflow.Failed,", []rule{finishLast, exactly}},
	{
		"a key without the flow", "runner/dispatch.go", "k := eventflow.Key{Flow: r.flow.Name(), Binding: s.name,", "k := eventflow.Key{Binding: s.name,",
		[]rule{claimedFirst, ackLast},
	},
	{
		"a cancelled run is an attempt", "runner/run.go", "\tv.err = err\n\treturn v\n}\n\n// judge", "\tv.err, v.counted, v.verb = err, true, eventflow.Nack\n\treturn v\n}\n\n// judge",
		[]rule{attemptsFail},
	},
	{"nothing is fenced", "runner/task.go", "return !t.fenced.Load() && (t.d == nil || t.d.Open())", "return true", []rule{fenced, claimedFirst, cancelled, ackLast, laneOrder}},
	{"a retry lets its lane go on", "runner/retire.go", "if t.lane != nil && !t.holds {", "if t.lane != nil && t.holds {", []rule{laneOrder, laneAlone}},
	{doesNotWait, "runner/relieve.go", "if ahead == nil {", "if true {", []rule{resultOrder}},
	{
		"acknowledged before the dead letter is written", "runner/bury.go", "switch err := r.buryOne(c, t); {", "if t.d != nil {\n\t\t\tt.d.Ack()\n\t\t}\n\t\tswitch err := r.buryOne(c, t); {",
		[]rule{ackLast},
	},
	{
		"the cursor moves before the claim", "store/memory_claim.go", "if c.Fire != nil {\n\t\tif s, until",
		"if c.Fire != nil {\n\t\tm.cursors.move(clockName{c.Key.Flow, c.Key.Binding}, c.Fire.Definition, c.Fire.Nominal)\n\t\tif s, until", []rule{cursorRight},
	},
	{"the cursor is not asked for", "runner/fires.go", "from, tm.last = cursor, cursor", "from, tm.last = now, cursor", []rule{fireOnce}},
	{"an end is counted twice", "runner/counts.go", "c.outcomes[note&0xf]++", "c.outcomes[note&0xf] += 2", []rule{balanced}},
	{
		"what waits is not handed back at the stop", "runner/listen.go", "\tr.giveBack(&chunk{io: r.io, stop: r.stop}, out)\n", "\t_ = out\n",
		[]rule{promptly, listenEnds},
	},
	{"PerLane is not asked for", "runner/receive.go", "PerLane: r.c.maxPerLane", "PerLane: 0", []rule{bounded}},
	{"Bytes are not asked for", "runner/receive.go", "Bytes: max(bytes, 1)", "Bytes: 0", []rule{bounded}},
	{"more runs than MaxRuns", "runner/dispatch.go", "len(r.workers) < r.c.maxRuns", "len(r.workers) < r.c.maxRuns+8", []rule{bounded}},
	{
		"a claim is renewed after it has ended", "runner/retire.go", "\tif t.stage == stageRun && !t.kept {\n\t\tt.leased.Store(0)\n\t}\n", "",
		[]rule{renewsOwn, claimedFirst},
	},
	{"a lost lock does not cancel", "runner/receive.go", "t.rc.cancel(causeOfLoss(err))", "_ = t.rc", []rule{cancelled}},
	{"a lapsed claim does not cancel", "runner/keeper.go", "rc.cancel(cause)", "_, _ = rc, cause", []rule{cancelled}},
	{"claims are not renewed", "runner/keeper.go", "if age >= r.c.lease/3 {", "if age >= r.c.lease*3 {", []rule{cancelled, fenced, claimedFirst, promptly, exactly, nothingLost}},
	{"a fire that was left is not taken over", "runner/sweep.go", "tm != nil && r.adopt(tm, key)", "tm != nil && false", []rule{fireOnce}},
	{
		"refused results are published by running again", "runner/claim.go", "case turnPublish:\n\t\tt.stage = stagePublish", "case turnPublish:\n\t\tt.stage, t.pubs, t.kept = stageRun, nil, true",
		[]rule{notAgain},
	},
	{
		"what cannot be decoded is acknowledged", "runner/probe.go", "return r.giveUpUnrun(t, reasonDecode, err)", "return verdict{turn: turnEnd, outcome: eventflow.Skipped, verb: eventflow.Ack, err: err}",
		[]rule{finishLast},
	},
	{"Busy is an attempt", "runner/run.go", "verdict{reason: reasonBusy, err: err,", "verdict{counted: true, reason: reasonBusy, err: err,", []rule{attemptsFail}},
	{"dead-lettered an attempt too early", "runner/run.go", "case attempt >= r.c.maxAttempts:", "case attempt >= r.c.maxAttempts-1:", []rule{exactly}},
	{"results have other IDs on a rerun", "result.go", "ev.ID = ids.id(run, n)", "ev.ID = ids.id(run, n) + string(rune('a'+run.Fence%26))", []rule{sameIDs}},
	{"no grace", "runner/listen.go", "time.NewTimer(r.c.grace)", "time.NewTimer(0)", []rule{graceful}},
	{"fires overlap on two replicas", "runner/fires.go", "t.claim.Fire.Overlap = tm.name", "t.claim.Fire.Overlap = \"\"", []rule{skipOverlap}},
	{"fires are early where the clock is ahead", "runner/fires.go", "NotBefore: f.Due}", "NotBefore: time.Time{}}", []rule{fireTime}},
}

const doesNotWait = "a long run does not wait for what is ahead of it"

// rare are mistakes that need as many times more seeds: this one shows where a publisher refuses the results of a chunk's
// first part, and takes those of the run that was left.
var rare = map[string]int{doesNotWait: 20}

var finding = regexp.MustCompile(`seed (\d+): ([^:]+): (.*)`)

// A simulation that finds nothing proves nothing: each of these mistakes breaks a promise that it sees.
func TestPlantedFaultsAreFound(t *testing.T) {
	t.Parallel()
	if *plantedSeeds == 0 {
		t.Skip("builds a test binary for each fault: -sim.planted=60")
	}
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, f := range plantedFaults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			f.find(t)
		})
	}
}

// find builds the simulation over the mistake and plays until a promise is broken.
func (f plantedFault) find(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "sim.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", f.plant(t, dir), "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("it does not build: %v\n%s", err, out)
	}
	seeds := max(rare[f.name], 1) * *plantedSeeds
	start := time.Now()
	play := exec.CommandContext(t.Context(), bin, "-test.run=^TestEveryPromise", "-test.cpu=1", "-sim.stop", "-sim.save="+dir,
		"-sim.seeds="+strconv.Itoa(seeds))
	out, err := play.CombinedOutput()
	found := finding.FindSubmatch(out)
	switch {
	case err == nil:
		t.Errorf("%d seeds do not find it", seeds)
	case found == nil:
		t.Errorf("it ended otherwise: %v\n%s", err, out)
	case !slices.Contains(f.finds, rule(found[2])):
		t.Errorf("seed %s found it, but as %q, not as %q: %s", found[1], found[2], f.finds, found[3])
	default:
		t.Logf("seed %s, in %v, broke %q: %s", found[1], time.Since(start).Round(time.Millisecond), found[2], found[3])
	}
}

// plant writes the mistake and the overlay that puts it in place of the source.
func (f plantedFault) plant(t *testing.T, dir string) (overlay string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", filepath.FromSlash(f.file)))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), f.old); n != 1 {
		t.Fatalf("%q stands %d times in %s, not once: write the fault anew", f.old, n, f.file)
	}
	with := filepath.Join(dir, "planted.go")
	if err = os.WriteFile(with, []byte(strings.Replace(string(src), f.old, f.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: with}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err = os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
