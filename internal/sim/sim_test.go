package sim

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedCount  = flag.Int("sim.seeds", 6, "how many seeds are played")
	firstSeed  = flag.Uint64("sim.seed", 1, "the first of them")
	replay     = flag.String("sim.replay", "", "play the script of this file instead, until it fails or up to -sim.times")
	times      = flag.Int("sim.times", 200, "how often a script that failed is played again")
	saveTo     = flag.String("sim.save", "", "the folder for scripts that fail, a temporary one by default; with -sim.replay: shrink the script into it")
	stopFirst  = flag.Bool("sim.stop", false, "stop at the first script that fails, and shrink nothing")
	shrinkMost = flag.Int("sim.shrink", 3, "how many of the scripts that fail are shrunk")
)

// enough seeds that every kind of fault must strike.
const enough = 100

// hangs is how long a script may take, by the real clock.
const hangs = 2 * time.Minute

// total is what all scripts of a run came to.
type total struct {
	mu             sync.Mutex // guards what follows
	seeds          int
	events, runs   int
	samples, ends  int
	hits           hits
	failed         []*script
	why            map[uint64]breach
	longest, spent time.Duration
}

// Whatever goes wrong at once, in whatever order, every promise of the package's comment is kept.
func TestEveryPromiseIsKeptWhateverTheSeed(t *testing.T) {
	t.Parallel()
	if *replay != "" {
		playAgain(t)
		return
	}
	tot := &total{hits: hits{}, why: map[uint64]breach{}}
	start := time.Now()
	var next atomic.Uint64
	next.Store(*firstSeed)
	last := *firstSeed + uint64(*seedCount)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < last; seed = next.Add(1) - 1 {
				if tot.play(t, newScript(seed)) && *stopFirst {
					next.Store(last)
				}
			}
		})
	}
	workers.Wait()
	tot.report(t, time.Since(start))
	tot.shrink(t)
}

// play plays one script and adds what it came to.
func (tot *total) play(t *testing.T, s *script) (failed bool) {
	t.Helper()
	watchdog := time.AfterFunc(hangs, func() {
		panic(fmt.Sprintf("the script of seed %d hangs", s.Seed))
	})
	res := play(t, s)
	watchdog.Stop()
	tot.mu.Lock()
	defer tot.mu.Unlock()
	tot.seeds++
	tot.events += res.events
	tot.runs += res.runs
	tot.samples += res.samples
	tot.ends += res.ends
	tot.hits.add(res.hits)
	tot.spent += res.took
	tot.longest = max(tot.longest, res.took)
	if len(res.bad) == 0 {
		return false
	}
	tot.failed = append(tot.failed, s)
	tot.why[s.Seed] = res.bad[0]
	return true
}

func (tot *total) report(t *testing.T, took time.Duration) {
	t.Helper()
	mean := tot.spent / time.Duration(max(tot.seeds, 1))
	t.Logf("%d seeds, %d events, %d ends, %d runs, %d samples of counters, %d seeds with a broken promise; %v, %v a seed, the longest %v",
		tot.seeds, tot.events, tot.ends, tot.runs, tot.samples, len(tot.failed), took.Round(time.Millisecond), mean.Round(time.Millisecond), tot.longest.Round(time.Millisecond))
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(tot.hits)) {
		lines = append(lines, fmt.Sprintf("%s %d", k, tot.hits[k]))
	}
	t.Log("struck: " + strings.Join(lines, ", "))
	for _, k := range allKinds() {
		if tot.hits[k] == 0 && tot.seeds >= enough {
			t.Errorf("the fault %q has struck in no seed: a fault that never strikes proves nothing", k)
		}
	}
	for _, s := range tot.failed {
		t.Errorf("seed %d: %v", s.Seed, tot.why[s.Seed])
	}
}

// playAgain plays a saved script.
func playAgain(t *testing.T) {
	t.Helper()
	s, err := load(*replay)
	if err != nil {
		t.Fatal(err)
	}
	for i := range *times {
		if res := play(t, s); len(res.bad) > 0 {
			for _, b := range res.bad {
				t.Errorf("playing it for the %d. time: %v", i+1, b)
			}
			t.Log(strings.Join(res.trace, "\n"))
			if *saveTo != "" {
				tot := &total{failed: []*script{s}, why: map[uint64]breach{s.Seed: res.bad[0]}}
				tot.shrink(t)
			}
			return
		}
	}
	t.Logf("played %d times, and every promise was kept", *times)
}

// folder is where scripts that fail are saved.
func folder(t *testing.T) string {
	t.Helper()
	if *saveTo != "" {
		return *saveTo
	}
	dir, err := os.MkdirTemp("", "sim") //nolint:usetesting // it must outlive the test
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// shrink saves, replays and shrinks a few of the scripts that failed.
func (tot *total) shrink(t *testing.T) {
	t.Helper()
	if len(tot.failed) == 0 {
		return
	}
	dir := folder(t)
	for i, s := range tot.failed {
		path := filepath.Join(dir, fmt.Sprintf("seed-%d.json", s.Seed))
		if err := s.save(path); err != nil {
			t.Error(err)
		}
		t.Logf("seed %d is saved: go test ./internal/sim -sim.replay=%s", s.Seed, path)
		if i >= *shrinkMost || *stopFirst {
			continue
		}
		small, n := shrink(t, s, tot.why[s.Seed].Rule)
		if small == nil {
			t.Logf("seed %d: played %d times more on one core, and every promise was kept: the order of goroutines is not the seed's", s.Seed, *times)
			continue
		}
		path = filepath.Join(dir, fmt.Sprintf("seed-%d-small.json", s.Seed))
		if err := small.save(path); err != nil {
			t.Error(err)
		}
		t.Logf("seed %d shrank, in %d plays, to %d processes, %d events, %d faults %v: %s", s.Seed, n, small.Slots, len(small.Events), len(small.Faults), small.Faults, path)
	}
}
