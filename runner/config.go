package runner

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// config is what the options fill. Its zero values are replaced by the defaults of newConfig.
type config struct {
	sources []*source
	timers  []*timer
	pubs    []publisher
	dead    eventflow.Publisher
	store   store.Store
	private bool // the store is the runner's own memory store
	owner   string

	maxRuns, maxInFlight, maxPerLane, maxDelayed, maxHeldBytes int
	maxAttempts, slack, fireSlots                              int
	batchMax                                                   int
	perLaneSet                                                 bool
	batchWait                                                  time.Duration
	backoff                                                    func(attempt int) time.Duration
	backoffText                                                string
	maxHold, maxLaneDelay, timeout, maxAge, grace, hardStop    time.Duration
	lease                                                      time.Duration
	decodeMost                                                 int // failures in a row that pause a source; 0: never
	deadText                                                   func(error) string
	logger                                                     *slog.Logger
	hooks                                                      []Hook
	decisionLog                                                int
	now                                                        func() time.Time // wall time; tests step it
	codecs                                                     eventflow.Codecs // Encode only

	errs []error
}

type publisher struct {
	to    eventflow.Publisher
	codec eventflow.Codec
}

func newConfig() *config {
	return &config{
		maxRuns: 64, maxInFlight: 1024, maxHeldBytes: 64 << 20, maxAttempts: 5, slack: 5,
		backoff: defaultBackoff, backoffText: "1s doubling to 1m0s, full jitter",
		maxHold: 5 * time.Minute, maxLaneDelay: 5 * time.Minute, decodeMost: 20, grace: 30 * time.Second, hardStop: 10 * time.Second, lease: 30 * time.Second,
		decisionLog: 10_000, now: wallTime,
	}
}

// defaultBackoff is 1 s doubling to 1 min with full jitter: a random part of it, so that many failures do not come back
// together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
func defaultBackoff(attempt int) time.Duration {
	return fullJitter(time.Second, time.Minute, attempt)
}

// longestPause is how long a broker or a store that fails again and again is left alone at most: so long after it is well
// again everything goes on.
const longestPause = 10 * time.Second

// wallTime is time.Now without the monotonic reading, which would hide that the wall clock was set.
func wallTime() time.Time { return time.Now().Round(0) }

func fullJitter(first, most time.Duration, n int) time.Duration {
	d := most
	if n = max(n, 1); n < 32 && first<<(n-1) < most && first<<(n-1) > 0 {
		d = first << (n - 1)
	}
	return time.Duration(rand.Int64N(int64(d) + 1)) //nolint:gosec // spreading load needs no secrecy
}

func (c *config) fail(field, value, allowed string) {
	c.errs = append(c.errs, &eventflow.ConfigError{Field: field, Value: value, Allowed: allowed})
}

// check completes the configuration of a flow and gives everything that is wrong with it.
func (c *config) check(f *eventflow.Flow) error {
	if f == nil {
		c.fail("runner.New flow", "nil", "a flow, made by eventflow.NewFlow, NewSink, NewSource or NewJob")
		return errors.Join(c.errs...)
	}
	if err := f.Err(); err != nil {
		c.errs = append(c.errs, err)
	}
	c.perLaneSet = c.maxPerLane != 0
	if !c.perLaneSet {
		c.maxPerLane = max(1, c.maxInFlight/16)
	}
	if c.maxDelayed == 0 {
		c.maxDelayed = max(1, c.maxInFlight/2)
	}
	c.checkTriggers(f)
	c.checkPublishers(f)
	c.checkBatch(f)
	c.checkStore()
	return errors.Join(c.errs...)
}

func (c *config) checkTriggers(f *eventflow.Flow) {
	seen := map[string]bool{}
	weight := 0
	for _, s := range c.sources {
		c.checkErr(s.clock)
		c.checkName("runner.On", &s.name, s.clock, seen)
		weight += s.weight
		_, s.tx = s.clock.(eventflow.Transactional)
	}
	for _, s := range c.sources {
		s.share = max(1, c.maxInFlight*s.weight/max(weight, 1))
	}
	if c.fireSlots == 0 {
		c.fireSlots = min(max(len(c.timers), 1), maxFireSlots)
	}
	for _, t := range c.timers {
		c.checkName("runner.At", &t.name, t.clock, seen)
		if c.checkErr(t.clock) {
			c.checkLaw(t)
		}
		if err := f.CheckParameters(t.params); err != nil {
			c.errs = append(c.errs, err)
		}
	}
}

// checkName gives a trigger its name, the option's or its canonical text. An index would be no name: reordering the
// triggers would run everything again.
func (c *config) checkName(field string, name *string, clock any, seen map[string]bool) {
	if *name == "" {
		if s, ok := clock.(fmt.Stringer); ok {
			*name = s.String()
		}
	}
	switch {
	case *name == "":
		c.fail(field, fmt.Sprintf("%T", clock), "a clock with a String method, or runner.Named: its runs must be known again after a restart")
	case seen[*name]:
		c.fail(field, *name, "a name of its own for each trigger; tell them apart with runner.Named")
	}
	seen[*name] = true
}

// checkLaw probes the law of eventflow.TimeClock at a few instants.
func (c *config) checkLaw(t *timer) {
	now := c.now()
	for range 3 {
		next := t.clock.Next(now)
		if next.IsZero() {
			return
		}
		if !next.After(now) {
			c.fail("runner.At", t.name, "a clock whose Next is after its argument")
			return
		}
		if mid := t.clock.Next(now.Add(next.Sub(now) / 2)); !mid.Equal(next) {
			c.fail("runner.At", t.name, "a clock that gives the same fire whenever it is asked, so that replicas and restarts agree; eventflow.Every is one")
			return
		}
		now = next
	}
}

func (c *config) checkPublishers(f *eventflow.Flow) {
	if len(c.pubs) > 0 && !f.Publishes() {
		c.fail("runner.PublishTo", "flow "+f.Name(), "a flow with a result: eventflow.NewFlow or NewSource")
	}
	for _, p := range c.pubs {
		c.checkErr(p.to)
		switch {
		case p.codec == nil:
		case c.codecs.Encode != nil && c.codecs.Encode != p.codec:
			c.fail("runner.PublishTo codec", p.codec.ContentType(), "one codec for all publishers: a result is encoded once")
		default:
			c.codecs.Encode = p.codec
		}
	}
	if c.dead != nil {
		c.checkErr(c.dead)
	}
}

// checkErr collects what a clock, a publisher or a store was made wrong with; true: nothing.
func (c *config) checkErr(v any) bool {
	e, ok := v.(interface{ Err() error })
	if !ok {
		return true
	}
	err := e.Err()
	if err != nil {
		c.errs = append(c.errs, err)
	}
	return err == nil
}

func (c *config) checkBatch(f *eventflow.Flow) {
	switch {
	case f.IsBatch() && c.batchMax == 0:
		c.batchMax = min(100, c.maxInFlight/max(1, len(c.sources)))
		if c.perLaneSet {
			c.batchMax = min(c.batchMax, c.maxPerLane)
		}
	case !f.IsBatch() && c.batchMax > 0:
		c.fail("runner.BatchOf", strconv.Itoa(c.batchMax), "only a flow whose parameter is an eventflow.Batch")
	}
	if !f.IsBatch() {
		return
	}
	switch room := c.maxInFlight / max(1, len(c.sources)); {
	case c.perLaneSet && c.batchMax > c.maxPerLane:
		c.fail("runner.BatchOf", strconv.Itoa(c.batchMax), "at most MaxPerLane, which is "+strconv.Itoa(c.maxPerLane)+": a lane could never fill a larger one")
	case c.batchMax > room:
		c.fail("runner.BatchOf", strconv.Itoa(c.batchMax), "at most a source's share of MaxInFlight, which is "+strconv.Itoa(room))
	default:
		c.maxPerLane = max(c.maxPerLane, c.batchMax)
	}
}

func (c *config) checkStore() {
	for _, s := range c.sources {
		if !s.tx {
			continue
		}
		if c.store != nil {
			c.fail("runner.Store", fmt.Sprintf("%T", c.store), "no store with the transactional "+s.name+": it would finish what a transaction aborts, and the redelivery would be a duplicate")
		}
		for _, p := range append(slices.Clip(c.pubs), publisher{to: c.dead}) {
			if p.to != nil && !s.clock.(eventflow.Transactional).Owned(p.to) {
				c.fail("runner.PublishTo", fmt.Sprintf("%T", p.to), "a publisher inside the transactions of "+s.name)
			}
		}
		if len(c.sources)+len(c.timers) > 1 {
			c.fail("runner.On", s.name, "a transactional subscriber alone: other triggers need a store, which it excludes")
		}
		return
	}
	if c.store == nil {
		c.store, c.private = store.NewMemory(), true
		return
	}
	c.checkErr(c.store)
}

// String lists every option with the value in force, one a line, in a fixed order: the runner's own description of
// itself. No secret is in it.
func (c *config) String() string {
	var b strings.Builder
	line := func(name string, v any) { fmt.Fprintf(&b, "%-24s %v\n", name, v) }
	orNone := func(d time.Duration) string {
		if d == 0 {
			return "none"
		}
		return d.String()
	}
	for _, s := range c.sources {
		line("On", fmt.Sprintf("%s, Weight %d", s.name, s.weight))
	}
	for _, t := range c.timers {
		line("At", fmt.Sprintf("%s, Overlap %v, Missed %v within %v, at most %d, Jitter %s", t.name, t.overlap, t.missed, t.missedAge, t.missedMost, orNone(t.jitter)))
	}
	line("PublishTo", len(c.pubs))
	line("DeadLetterTo", c.dead != nil)
	if c.store == nil {
		line("Store", "none: transactional")
	} else {
		line("Store", reflect.TypeOf(c.store))
	}
	line("MaxRuns", c.maxRuns)
	line("FireSlots", c.fireSlots)
	line("MaxInFlight", c.maxInFlight)
	line("MaxPerLane", c.maxPerLane)
	line("MaxDelayed", c.maxDelayed)
	line("MaxHeldBytes", c.maxHeldBytes)
	line("MaxAttempts", c.maxAttempts)
	line("Slack", c.slack)
	line("Backoff", c.backoffText)
	line("MaxHold", c.maxHold)
	line("MaxLaneDelay", c.maxLaneDelay)
	line("MaxAge", orNone(c.maxAge))
	line("PauseAfterDecodeFailures", c.decodeMost)
	line("Timeout", orNone(c.timeout))
	if c.batchMax > 0 {
		line("BatchOf", fmt.Sprintf("%d within %v", c.batchMax, c.batchWait))
	}
	line("Lease", c.lease)
	line("Grace", c.grace)
	line("HardStop", c.hardStop)
	line("DecisionLog", c.decisionLog)
	return b.String()
}
