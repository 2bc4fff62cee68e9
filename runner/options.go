package runner

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// Option configures a [FlowRunner]. Options of a trigger are of other types, so that a publisher given to a clock does
// not compile.
type Option interface{ apply(c *config) }

// OnOption configures an event trigger, see [On].
type OnOption interface{ applyOn(c *config, s *source) }

// AtOption configures a time trigger, see [At].
type AtOption interface{ applyAt(c *config, t *timer) }

// PublishOption configures a publisher, see [PublishTo].
type PublishOption interface{ applyPublish(c *config, p *publisher) }

type option func(c *config)

func (f option) apply(c *config) { f(c) }

// On starts a run for each event of the clock. A [eventflow.Subscriber] belongs to the runner from now on: Listen
// starts and closes it. May be given several times; each trigger needs a name, see [Named].
func On(clock eventflow.EventClock, opts ...OnOption) Option {
	return option(func(c *config) {
		if isNil(clock) {
			c.fail("runner.On", "nil", "an EventClock; was the error of OpenSubscriber checked?")
			return
		}
		s := &source{clock: clock, weight: 1}
		for _, o := range opts {
			if isNil(o) {
				c.fail("runner.On option", "nil", "an OnOption")
				continue
			}
			o.applyOn(c, s)
		}
		c.sources = append(c.sources, s)
	})
}

// At starts a run at each fire of the clock. May be given several times; each trigger needs a name, see [Named]. An
// [eventflow.EntryClock] brings a name, which Named replaces, parameters, which go before those of [With], and labels,
// which go before those of [Labels]. So does any clock with its methods Name, Parameters and Labels, such as one of
// [eventflow.Schedule.Clocks], which fires here as if it were alone. For several clocks at once, with filters and
// adjustments, see [AtSchedule].
//
// The clocks of a runner are asked one after another, so Next of a clock of your own must be quick: while one ponders, the
// fires of all others wait, and what is a minute late counts as missed.
//
// A fire is never early by the store's clock. What becomes of one that is due while a run of the same clock is live is
// [Overlap]'s matter, of those that nobody started in time [Missed]'s. With the memory store the misses of a downtime
// are unknown.
func At(clock eventflow.TimeClock, opts ...AtOption) Option {
	return option(func(c *config) {
		if isNil(clock) {
			c.fail("runner.At", "nil", "a TimeClock, such as eventflow.Cron or eventflow.Every")
			return
		}
		t := newTimer(c, "runner.At", opts)
		t.clock = clock
		if d, ok := clock.(described); ok {
			t.describe(d)
		}
		c.finds(t)
		c.timers = append(c.timers, t)
	})
}

type named string

func (n named) valid(c *config) bool {
	if n == "" || len(n) > maxName {
		c.fail("runner.Named", string(n), "1 to "+strconv.Itoa(maxName)+" bytes")
		return false
	}
	return true
}

func (n named) applyOn(c *config, s *source) {
	if n.valid(c) {
		s.name = string(n)
	}
}

func (n named) applyAt(c *config, t *timer) {
	if n.valid(c) {
		t.name = string(n)
	}
}

const maxName = 512

// NamedOption is an option of [On] and of [At].
type NamedOption interface {
	OnOption
	AtOption
}

// Named names a trigger. The name is part of the key of every run that it starts: a new name is a new trigger, whose
// events have never been seen. Without it the clock's String is the name.
func Named(name string) NamedOption { return named(name) }

type onOption func(c *config, s *source)

func (f onOption) applyOn(c *config, s *source) { f(c, s) }

type atOption func(c *config, t *timer)

func (f atOption) applyAt(c *config, t *timer) { f(c, t) }

// Filter skips the events for which keep is false: acknowledged, and counted as skipped with the reason "filter". It is
// called by many goroutines at once; a panic in it is a failed attempt.
func Filter(keep func(*eventflow.Event) bool) OnOption {
	return onOption(func(c *config, s *source) {
		if keep == nil {
			c.fail("runner.Filter", "nil", "a function")
		}
		s.filter = keep
	})
}

// Weight sets how often a source's turn comes when several have events waiting, and its share of MaxInFlight. The
// default is 1 for each.
func Weight(n int) OnOption {
	return onOption(func(c *config, s *source) {
		if c.within("runner.Weight", n, 1, 1000) {
			s.weight = n
		}
	})
}

// With sets fields of the flow's parameter struct on this clock's fires. New checks names and types.
func With(p eventflow.Parameters) AtOption {
	p = maps.Clone(p)
	return atOption(func(_ *config, t *timer) { t.params = p })
}

// Labels go with this clock's fires: eventflow.Fire.Labels.
func Labels(labels ...string) AtOption {
	return atOption(func(_ *config, t *timer) { t.labels = append([]string(nil), labels...) })
}

// CodecOption is an option of [On] and of [PublishTo].
type CodecOption interface {
	OnOption
	PublishOption
}

type codecOption struct{ codec eventflow.Codec }

func (o codecOption) applyOn(c *config, s *source) {
	if isNil(o.codec) {
		c.fail("runner.WithCodec", "nil", "a Codec")
		return
	}
	s.codec = o.codec
}

func (o codecOption) applyPublish(c *config, p *publisher) {
	if isNil(o.codec) {
		c.fail("runner.WithCodec", "nil", "a Codec")
		return
	}
	p.codec = o.codec
}

// WithCodec decodes the events of one source, or encodes the results, with another codec than the flow's. All
// publishers of a runner share one, because a result is encoded once.
func WithCodec(codec eventflow.Codec) CodecOption { return codecOption{codec} }

// PublishTo publishes each run's result, after the run and before its event is acknowledged. What the publisher refuses
// is tried again under the lock, with the runner's backoff, without running the flow again. May be given several times.
// The publisher is not closed.
func PublishTo(p eventflow.Publisher, opts ...PublishOption) Option {
	return option(func(c *config) {
		if isNil(p) {
			c.fail("runner.PublishTo", "nil", "a Publisher; was the error of OpenPublisher checked?")
			return
		}
		pub := publisher{to: p}
		for _, o := range opts {
			if isNil(o) {
				c.fail("runner.PublishTo option", "nil", "a PublishOption")
				continue
			}
			o.applyPublish(c, &pub)
		}
		c.pubs = append(c.pubs, pub)
	})
}

// DeadLetterTo publishes the dead letters, instead of handing them to the broker that the event came from. A dead
// letter is the event itself, with its ID, and attributes that say why: eventflow-reason, eventflow-flow,
// eventflow-version, eventflow-trigger, eventflow-attempts, eventflow-error (the error's type; see [DeadLetterErrors]).
// The publisher is not closed.
func DeadLetterTo(p eventflow.Publisher) Option {
	return option(func(c *config) {
		if isNil(p) {
			c.fail("runner.DeadLetterTo", "nil", "a Publisher; was the error of OpenPublisher checked?")
			return
		}
		c.dead = p
	})
}

// DeadLetterErrors adds the error's text to dead letters as the attribute eventflow-error-text: what redact returns,
// without control characters, at most 1 KiB. By default no text is written, because it often holds what the payload
// held.
func DeadLetterErrors(redact func(error) string) Option {
	return option(func(c *config) {
		if redact == nil {
			c.fail("runner.DeadLetterErrors", "nil", "a function, such as error.Error when nothing in it is secret")
		}
		c.deadText = redact
	})
}

// Store sets where claims are kept. The default is a store in memory, of 100,000 keys: deduplication then ends with the
// process. The store is not closed.
func Store(s store.Store) Option {
	return option(func(c *config) {
		if isNil(s) {
			c.fail("runner.Store", "nil", "a Store; was the error of opening it checked?")
			return
		}
		c.store = s
	})
}

// MaxRuns bounds how many runs started by events are live at once; default 64, at most 100,000. Fires have slots of
// their own, see [FireSlots].
func MaxRuns(n int) Option {
	return option(func(c *config) { c.set("runner.MaxRuns", &c.maxRuns, n, 1, 100_000) })
}

const maxFireSlots = 64

// FireSlots bounds how many runs started by clocks are live at once. Events cannot take these slots, so a due fire
// starts whatever the backlog. The default is one per clock, at most 64.
func FireSlots(n int) Option {
	return option(func(c *config) { c.set("runner.FireSlots", &c.fireSlots, n, 1, 100_000) })
}

// MaxInFlight bounds how many deliveries the runner holds: waiting, delayed, running, publishing and settled but not
// confirmed; default 1,024, at most 1,000,000. Each source has a share of it by its [Weight].
func MaxInFlight(n int) Option {
	return option(func(c *config) { c.set("runner.MaxInFlight", &c.maxInFlight, n, 1, 1_000_000) })
}

// MaxPerLane bounds how many deliveries of one lane the runner holds, so that a slow lane leaves room for others;
// default MaxInFlight / 16, at least 1.
func MaxPerLane(n int) Option {
	return option(func(c *config) { c.set("runner.MaxPerLane", &c.maxPerLane, n, 1, 1_000_000) })
}

// MaxDelayed bounds how many deliveries wait in this process for their next attempt; beyond it a retry is handed back
// to the broker with its delay. Default MaxInFlight / 2.
func MaxDelayed(n int) Option {
	return option(func(c *config) { c.set("runner.MaxDelayed", &c.maxDelayed, n, 1, 1_000_000) })
}

// MaxHeldBytes bounds the sum of the payloads that the runner holds; default 64 MiB. A single larger event is held
// alone.
func MaxHeldBytes(n int) Option {
	return option(func(c *config) { c.set("runner.MaxHeldBytes", &c.maxHeldBytes, n, 1, 1<<40) })
}

// MaxAttempts bounds how often a run is tried; default 5. An event that failed so often is dead-lettered with the
// reason "exhausted", a fire ends as failed.
func MaxAttempts(n int) Option {
	return option(func(c *config) { c.set("runner.MaxAttempts", &c.maxAttempts, n, 1, 1000) })
}

// Slack is how many receives beyond MaxAttempts a broker's own limit must allow, because hand-backs count as receives
// there; default 5. A subscriber that can read its limit refuses to start below the sum.
func Slack(n int) Option {
	return option(func(c *config) { c.set("runner.Slack", &c.slack, n, 0, 1000) })
}

// Backoff sets the delay before the next attempt, from how many have failed: 1 after the first. The default is 1 s
// doubling to 1 min with full jitter. Below zero is zero.
func Backoff(f func(attempt int) time.Duration) Option {
	return option(func(c *config) {
		if f == nil {
			c.fail("runner.Backoff", "nil", "a function")
			return
		}
		c.backoff, c.backoffText = f, "a function"
	})
}

// MaxHold bounds how long a delivery waits in this process, under its lock, for its next attempt; default 5 min. A
// longer delay is left to the broker.
func MaxHold(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.MaxHold", &c.maxHold, d, 0, 12*time.Hour) })
}

// MaxLaneDelay bounds how long a failed event makes the rest of its ordered lane wait for its next attempt, whatever
// Backoff says; default 5 min. Busy is not bounded: the flow asked for it.
func MaxLaneDelay(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.MaxLaneDelay", &c.maxLaneDelay, d, 0, 12*time.Hour) })
}

// PauseAfterDecodeFailures pauses an event trigger when n of its events in a row do not fit the flow's parameter; default
// 20, 0 is never. Then it is probably the flow that is wrong, a bad deploy, and going on would drain the backlog into the
// dead letters. What the runner holds of the trigger is handed back, and one event at a time is tried, after 1 s doubling
// to 1 min, until one fits.
func PauseAfterDecodeFailures(n int) Option {
	return option(func(c *config) { c.set("runner.PauseAfterDecodeFailures", &c.decodeMost, n, 0, 1_000_000) })
}

// MaxAge ends events as expired that are older than d by their Time when their turn comes: acknowledged, not run, not
// dead-lettered. Events without a Time do not expire. The default is no limit.
func MaxAge(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.MaxAge", &c.maxAge, d, time.Millisecond, 10*365*24*time.Hour) })
}

// Timeout bounds one run; its context ends then with context.DeadlineExceeded, and the run that returns an error has
// failed. The default is none.
func Timeout(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.Timeout", &c.timeout, d, time.Millisecond, 365*24*time.Hour) })
}

// Grace is how long runs may go on when Listen's context has ended; then their contexts are cancelled with ErrShutdown.
// What they leave of it subscribers may use to close, with HardStop on top. Default 30 s.
func Grace(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.Grace", &c.grace, d, 0, 24*time.Hour) })
}

// HardStop is how long Listen waits, after the grace period, for runs that ignore their context, before it returns an
// AbandonedError. Default 10 s.
func HardStop(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.HardStop", &c.hardStop, d, 0, 24*time.Hour) })
}

// Lease is how long a claim in the store lasts without a renewal; default 30 s. A run of a process that died is taken
// over after it.
func Lease(d time.Duration) Option {
	return option(func(c *config) { c.setDuration("runner.Lease", &c.lease, d, 10*time.Millisecond, time.Hour) })
}

// BatchOf sets how many events a run of a [eventflow.Batch] flow takes at most, and how long the first of them waits
// for the others. The default is 100 and no wait: what is there. At most MaxPerLane, or a lane could never fill one.
func BatchOf(most int, wait time.Duration) Option {
	return option(func(c *config) {
		c.set("runner.BatchOf", &c.batchMax, most, 1, 1_000_000)
		c.setDuration("runner.BatchOf wait", &c.batchWait, wait, 0, time.Hour)
	})
}

// Logger sets where failures are said; the default is slog.Default. A runner is quiet on success. It says
//
//   - at Error what lasts and needs somebody: a store, a publisher, an event clock or a place for dead letters that does not
//     work, a trigger that is paused because its events cannot be decoded, an event that has failed and has no place for its
//     dead letter. A lasting fault is said when it begins and once a minute, with how often it was met, never once per event;
//   - at Warn what ended badly: an event that was dead-lettered, fires that were missed and not made up for. Of each kind ten
//     a minute are said one by one, and of the others how many there were: [Hooks] and [FlowRunner.Decisions] have each;
//   - at Info that a fault is over, that a paused trigger goes on, and once, at the start, that a store in memory knows
//     nothing of the fires of a downtime.
//
// No line has a payload, a parameter or the text of a flow's error, of which it names the type, unless [DeadLetterErrors]
// lets the text out; a panic's stack is there. The texts of a store's, a broker's and an event clock's own errors are as these give
// them.
func Logger(l *slog.Logger) Option {
	return option(func(c *config) {
		if l == nil {
			c.fail("runner.Logger", "nil", "a *slog.Logger; slog.New(slog.DiscardHandler) for none")
		}
		c.logger = l
	})
}

// Hooks are told every [Decision], in the order of the options. Without hooks nothing is spent on them.
func Hooks(hs ...Hook) Option {
	return option(func(c *config) {
		for _, h := range hs {
			if isNil(h) {
				c.fail("runner.Hooks", "nil", "a Hook")
				continue
			}
			c.hooks = append(c.hooks, h)
		}
	})
}

func (c *config) within(field string, n, least, most int) bool {
	if n < least || n > most {
		c.fail(field, strconv.Itoa(n), fmt.Sprintf("%d to %d", least, most))
		return false
	}
	return true
}

func (c *config) set(field string, to *int, n, least, most int) {
	if c.within(field, n, least, most) {
		*to = n
	}
}

func (c *config) setDuration(field string, to *time.Duration, d, least, most time.Duration) {
	if d < least || d > most {
		c.fail(field, d.String(), fmt.Sprintf("%v to %v", least, most))
		return
	}
	*to = d
}

// isNil sees a nil in an interface, typed or not.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan, reflect.Interface:
		return rv.IsNil()
	}
	return false
}
