package runner_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// sizeParams is what the flow of these tests takes.
type sizeParams struct {
	Upload eventflow.EventParameter[string]
	Size   int
	Token  string
}

func sized(name string) *eventflow.Flow {
	return eventflow.NewSink(name, func(context.Context, sizeParams) error { return nil })
}

// foreign is a clock of somebody else's, without a name.
type foreign struct{}

func (foreign) Next(after time.Time) time.Time { return after.Truncate(time.Hour).Add(time.Hour) }

// drifting breaks the law: when it fires depends on when it is asked.
type drifting time.Duration

func (d drifting) Next(after time.Time) time.Time { return after.Add(time.Duration(d)) }
func (d drifting) String() string                 { return "drifting" }

// stuck gives its argument back.
type stuck struct{}

func (stuck) Next(after time.Time) time.Time { return after }
func (stuck) String() string                 { return "stuck" }

// mistake is one, and how it is named. "FLOW" stands for the flow's name.
type mistake struct {
	what                  string
	opts                  []runner.Option
	field, value, allowed string
}

// mistakes that may all be made at once.
func mistakes() []mistake {
	mem := broker.NewMemory()
	hourly := func(minute time.Duration) eventflow.TimeClock {
		return eventflow.Every(time.Hour).Phase(minute)
	}
	one := func(opts ...runner.Option) []runner.Option { return opts }
	var noClock *eventflow.CronClock
	return []mistake{
		{"a bad cron expression", one(runner.At(eventflow.Cron("0 25 * * *", time.UTC))), "eventflow.Cron hour", "25", "0 to 23"},
		{"a nil location", one(runner.At(eventflow.Cron("0 4 * * *", nil))), "eventflow.Cron location", "nil", "time.UTC"},
		{"an interval of nothing", one(runner.At(eventflow.Every(0))), "eventflow.Every", "0s", "above zero"},
		{"a nil time clock", one(runner.At(nil)), "runner.At", "nil", "a TimeClock"},
		{"a nil clock of a type", one(runner.At(noClock)), "runner.At", "nil", "a TimeClock"},
		{"a nil event clock", one(runner.On(nil)), "runner.On", "nil", "was the error of OpenSubscriber checked?"},
		{"two triggers of one name", one(runner.On(mem.Subscriber("a"), runner.Named("twin")), runner.At(hourly(1*time.Minute), runner.Named("twin"))), "runner.At", "twin", "runner.Named"},
		{"two triggers of one text", one(runner.On(mem.Subscriber("b")), runner.On(mem.Subscriber("b"))), "runner.On", "memory/b", "runner.Named"},
		{"an unnamed foreign clock", one(runner.At(foreign{})), "runner.At", "runner_test.foreign", "runner.Named"},
		{"an impure clock", one(runner.At(drifting(time.Hour))), "runner.At", "drifting", "eventflow.Every"},
		{"a clock that does not go on", one(runner.At(stuck{})), "runner.At", "stuck", "after its argument"},
		{"an empty name", one(runner.At(hourly(2*time.Minute), runner.Named(""))), "runner.Named", "", "1 to 512 bytes"},
		{"an unknown parameter", one(runner.At(hourly(3*time.Minute), runner.With(eventflow.Parameters{"Sise": 1}))), "flow FLOW parameters", "Sise", "Size, Token"},
		{"a parameter of the wrong type", one(runner.At(hourly(4*time.Minute), runner.With(eventflow.Parameters{"Size": "hunter2"}))), "flow FLOW parameter Size", "a string", "what fits int"},
		{"the event as a parameter", one(runner.At(hourly(5*time.Minute), runner.With(eventflow.Parameters{"Upload": "x"}))), "flow FLOW parameters", "Upload", "Size, Token"},
		{"a publisher for a sink", one(runner.PublishTo(mem.Publisher("out"))), "runner.PublishTo", "flow FLOW", "a flow with a result"},
		{"a nil publisher", one(runner.PublishTo(nil)), "runner.PublishTo", "nil", "was the error of OpenPublisher checked?"},
		{"a nil place for dead letters", one(runner.DeadLetterTo(nil)), "runner.DeadLetterTo", "nil", "a Publisher"},
		{"a nil store", one(runner.Store((*store.Memory)(nil))), "runner.Store", "nil", "a Store"},
		{"no runs", one(runner.MaxRuns(0)), "runner.MaxRuns", "0", "1 to 100000"},
		{"no attempts", one(runner.MaxAttempts(0)), "runner.MaxAttempts", "0", "1 to 1000"},
		{"a batch of a flow without one", one(runner.BatchOf(7, 0)), "runner.BatchOf", "7", "eventflow.Batch"},
		{"a nil option", one(nil), "runner.New option", "nil", "an Option"},
		{"a nil backoff", one(runner.Backoff(nil)), "runner.Backoff", "nil", "a function"},
		{"a nil filter", one(runner.On(mem.Subscriber("c"), runner.Filter(nil))), "runner.Filter", "nil", "a function"},
		{"a nil codec of a source", one(runner.On(mem.Subscriber("d"), runner.WithCodec(nil))), "runner.WithCodec", "nil", "a Codec"},
		{"a weight below one", one(runner.On(mem.Subscriber("e"), runner.Weight(0))), "runner.Weight", "0", "1 to 1000"},
		{"a nil logger", one(runner.Logger(nil)), "runner.Logger", "nil", "slog.DiscardHandler"},
		{"a nil hook", one(runner.Hooks(runner.HookFunc(nil))), "runner.Hooks", "nil", "a Hook"},
		{"an overlap that is none", one(runner.At(hourly(6*time.Minute), runner.Overlap(99))), "runner.Overlap", "OverlapPolicy(99)", "OverlapSkip"},
		{"a jitter below zero", one(runner.At(hourly(7*time.Minute), runner.Jitter(-time.Second))), "runner.Jitter", "-1s", "0s to 24h0m0s"},
		{"nothing to redact with", one(runner.DeadLetterErrors(nil)), "runner.DeadLetterErrors", "nil", "a function"},
		{"a subscriber without a topic", one(runner.On(mem.Subscriber(""))), "broker.Memory topic", "", "a name"},
		{"a dead-letter publisher without a topic", one(runner.DeadLetterTo(mem.Publisher(""))), "broker.Memory topic", "", "a name"},
	}
}

// configErrors gives every *ConfigError of a joined error.
func configErrors(t *testing.T, err error) (out []*eventflow.ConfigError) {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			out = append(out, configErrors(t, one)...)
		}
		return out
	}
	var bad *eventflow.ConfigError
	require.ErrorAs(t, err, &bad)
	return append(out, bad)
}

func (m mistake) matches(e *eventflow.ConfigError, flow string) bool {
	name := strings.NewReplacer("FLOW", flow)
	return e.Field == name.Replace(m.field) && e.Value == name.Replace(m.value) && strings.Contains(e.Allowed, m.allowed)
}

func TestEachMistakeIsNamed(t *testing.T) {
	t.Parallel()
	for _, m := range mistakes() {
		r, err := runner.New(sized("f"), m.opts...)
		require.Nil(t, r, m.what)
		require.ErrorIs(t, err, eventflow.ErrFatal, m.what)
		wrong := configErrors(t, err)
		require.Len(t, wrong, 1, "%s: %v", m.what, err)
		require.True(t, m.matches(wrong[0], "f"), "%s: %v", m.what, err)
		require.NotContains(t, err.Error(), "hunter2", m.what)
	}
}

func TestEveryMistakeIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	all := mistakes()
	var opts []runner.Option
	for _, m := range all {
		opts = append(opts, m.opts...)
	}
	r, err := runner.New(sized(""), opts...)
	require.Nil(t, r)
	require.ErrorIs(t, err, eventflow.ErrFatal)
	all = append(all, mistake{"an empty flow name", nil, "flow name", "", "1 to 128 bytes"})
	wrong := configErrors(t, err)
	for _, m := range all {
		found := -1
		for i, e := range wrong {
			if m.matches(e, "") {
				found = i
				break
			}
		}
		require.GreaterOrEqual(t, found, 0, "%s is not among\n%v", m.what, err)
		require.ErrorContains(t, err, wrong[found].Error(), m.what)
		wrong = append(wrong[:found], wrong[found+1:]...) // each mistake has an error of its own
	}
	require.Empty(t, wrong, "what is no mistake is not called one")
}

func TestWithoutAFlowTheOptionsAreStillChecked(t *testing.T) {
	t.Parallel()
	_, err := runner.New(nil, runner.MaxRuns(0))
	wrong := configErrors(t, err)
	require.Len(t, wrong, 2)
	require.Equal(t, "runner.MaxRuns", wrong[0].Field)
	require.Equal(t, "runner.New flow", wrong[1].Field)
}

func TestAFlowsOwnMistakesAreSaidToo(t *testing.T) {
	t.Parallel()
	_, err := runner.New(eventflow.NewJob("", nil), runner.MaxRuns(-1))
	var got []string
	for _, e := range configErrors(t, err) {
		got = append(got, e.Field)
	}
	require.Equal(t, []string{"runner.MaxRuns", "flow name", "flow  function"}, got)
}

func TestNumbersOutOfRangeAreRefusedAndTheirBoundsAreNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field       string
		option      func(int) runner.Option
		least, most int
	}{
		{"runner.MaxRuns", runner.MaxRuns, 1, 100_000},
		{"runner.FireSlots", runner.FireSlots, 1, 100_000},
		{"runner.MaxInFlight", runner.MaxInFlight, 1, 1_000_000},
		{"runner.MaxPerLane", runner.MaxPerLane, 1, 1_000_000},
		{"runner.MaxDelayed", runner.MaxDelayed, 1, 1_000_000},
		{"runner.MaxHeldBytes", runner.MaxHeldBytes, 1, 1 << 40},
		{"runner.MaxAttempts", runner.MaxAttempts, 1, 1000},
		{"runner.Slack", runner.Slack, 0, 1000},
		{"runner.PauseAfterDecodeFailures", runner.PauseAfterDecodeFailures, 0, 1_000_000},
	} {
		for _, n := range []int{c.least, c.most} {
			_, err := runner.New(sized("f"), c.option(n))
			require.NoError(t, err, "%s(%d)", c.field, n)
		}
		for _, n := range []int{c.least - 1, -1 << 40, c.most + 1} {
			_, err := runner.New(sized("f"), c.option(n))
			wrong := configErrors(t, err)
			require.Len(t, wrong, 1)
			require.Equal(t, eventflow.ConfigError{Field: c.field, Value: strconv.Itoa(n), Allowed: fmt.Sprintf("%d to %d", c.least, c.most)}, *wrong[0])
		}
	}
}

func TestDurationsOutOfRangeAreRefusedAndTheirBoundsAreNot(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		field       string
		option      func(time.Duration) runner.Option
		least, most time.Duration
	}{
		{"runner.MaxHold", runner.MaxHold, 0, 12 * time.Hour},
		{"runner.MaxLaneDelay", runner.MaxLaneDelay, 0, 12 * time.Hour},
		{"runner.MaxAge", runner.MaxAge, time.Millisecond, 10 * 365 * day},
		{"runner.Timeout", runner.Timeout, time.Millisecond, 365 * day},
		{"runner.Grace", runner.Grace, 0, day},
		{"runner.HardStop", runner.HardStop, 0, day},
		{"runner.Lease", runner.Lease, 10 * time.Millisecond, time.Hour},
	} {
		for _, d := range []time.Duration{c.least, c.most} {
			_, err := runner.New(sized("f"), c.option(d))
			require.NoError(t, err, "%s(%v)", c.field, d)
		}
		for _, d := range []time.Duration{c.least - 1, -day, c.most + 1} {
			_, err := runner.New(sized("f"), c.option(d))
			wrong := configErrors(t, err)
			require.Len(t, wrong, 1)
			require.Equal(t, eventflow.ConfigError{Field: c.field, Value: d.String(), Allowed: fmt.Sprintf("%v to %v", c.least, c.most)}, *wrong[0])
		}
	}
}

func TestABatchMustFitItsLaneAndItsShare(t *testing.T) {
	t.Parallel()
	many := eventflow.NewSink("many", func(context.Context, eventflow.Batch[string]) error { return nil })
	mem := broker.NewMemory()
	on := func(topic string) runner.Option { return runner.On(mem.Subscriber(topic)) }
	for want, opts := range map[string][]runner.Option{
		`runner.BatchOf: "20" is not allowed: at most MaxPerLane, which is 10: a lane could never fill a larger one`: {on("a"), runner.BatchOf(20, 0), runner.MaxPerLane(10)},
		`runner.BatchOf: "20" is not allowed: at most a source's share of MaxInFlight, which is 16`:                  {on("b"), on("c"), runner.BatchOf(20, 0), runner.MaxInFlight(32)},
		`runner.BatchOf wait: "-1s" is not allowed: 0s to 1h0m0s`:                                                    {on("d"), runner.BatchOf(20, -time.Second)},
		`flow many parameters: "Size" is not allowed: only a flow whose parameter is a struct takes them; its is `:   {runner.At(eventflow.Every(time.Hour), runner.With(eventflow.Parameters{"Size": 1}))},
	} {
		_, err := runner.New(many, opts...)
		require.ErrorContains(t, err, want)
	}
	_, err := runner.New(many, on("e"), runner.BatchOf(200, time.Second))
	require.NoError(t, err, "a lane is made as wide as the batch when nobody said how wide it is")
}

func TestPublishersShareOneCodec(t *testing.T) {
	t.Parallel()
	f := eventflow.NewSource("f", func(context.Context) (int, error) { return 1, nil })
	mem := broker.NewMemory()
	_, err := runner.New(f,
		runner.PublishTo(mem.Publisher("a"), runner.WithCodec(eventflow.JSON)), runner.PublishTo(mem.Publisher("b"), runner.WithCodec(tabs{})))
	require.ErrorContains(t, err, `runner.PublishTo codec: "text/tab-separated-values" is not allowed: one codec for all publishers`)
	_, err = runner.New(f,
		runner.PublishTo(mem.Publisher("a"), runner.WithCodec(tabs{})), runner.PublishTo(mem.Publisher("b")))
	require.NoError(t, err)
}

// tabs is a codec that nobody calls.
type tabs struct{}

func (tabs) ContentType() string                { return "text/tab-separated-values" }
func (tabs) Decode(*eventflow.Event, any) error { return errBoom }
func (tabs) Encode(any) ([]byte, error)         { return nil, errBoom }

func TestPauseOfAnUnknownTriggerSaysWhichThereAre(t *testing.T) {
	t.Parallel()
	r, err := runner.New(sized("f"), runner.On(broker.NewMemory().Subscriber("q")), runner.At(eventflow.Every(time.Hour), runner.Named("hourly")))
	require.NoError(t, err)
	for _, err := range []error{r.Pause("dayly"), r.Resume("dayly")} {
		require.EqualError(t, err, `trigger of flow f: "dayly" is not allowed: one of memory/q, hourly`)
	}
}

func TestAFireWithoutIdentityIsAMistake(t *testing.T) {
	t.Parallel()
	r, err := runner.New(sized("f"))
	require.NoError(t, err)
	for what, f := range map[string]eventflow.Fire{
		"no clock":             {Nominal: time.Unix(0, 0)},
		"no nominal time":      {Clock: "c"},
		"an unknown parameter": {Clock: "c", Nominal: time.Unix(0, 0), Parameters: eventflow.Parameters{"Sise": 1}},
	} {
		res := r.Run(t.Context(), f)
		require.Equal(t, eventflow.HandedBack, res.Outcome, what)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, res.Err, &bad, what)
	}
	require.Zero(t, r.Counts().Received, "nothing was received")
}

const secret = "hunter2"

// Whoever mistypes a URL has its password in it.
func TestASecretInAURLIsInNoError(t *testing.T) {
	t.Parallel()
	brokers := eventflow.Scheme{Names: []string{"test"}}
	stores := store.Scheme{Names: []string{"test"}}
	for _, raw := range []string{
		"test://user:" + secret + "@host:port/db",
		"test://user:" + secret + "@[::1/db",
		"test://user:" + secret + "%zz@host",
		"test://us er:" + secret + "@host\x7f",
		"//user:" + secret + "@host",
		"://user:" + secret + "@host",
		":" + secret,
		"other://user:" + secret + "@host?password=" + secret,
		"memory://user:" + secret + "@host",
		"memory://?password=" + secret,
		"memory://?capacity=1&" + secret + "%zz",
	} {
		_, err := broker.Open(t.Context(), raw, brokers, broker.Scheme)
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), secret)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad, raw)

		_, err = store.Open(t.Context(), raw, stores)
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), secret)
		require.ErrorAs(t, err, &bad, raw)
	}
}

func TestASecretParameterIsInNoDescriptionAndNoError(t *testing.T) {
	t.Parallel()
	at := func(ps eventflow.Parameters) runner.Option {
		return runner.At(eventflow.Every(time.Hour), runner.With(ps))
	}
	r, err := runner.New(sized("f"), at(eventflow.Parameters{"Token": secret}))
	require.NoError(t, err)
	for _, text := range []string{r.String(), fmt.Sprintf("%v %s %+v", r, r, r)} {
		require.NotContains(t, text, secret)
		require.Contains(t, text, "every(1h0m0s)")
	}
	for _, ps := range []eventflow.Parameters{{"Size": secret}, {"Password": secret}, {"Token": []string{secret}}, {"Token": map[string]string{secret: secret}}} {
		_, err := runner.New(sized("f"), at(ps))
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
}

// Each default is printed, so that nobody has to look it up.
func TestARunnerDescribesItself(t *testing.T) {
	t.Parallel()
	mem := broker.NewMemory()
	f := eventflow.NewFlow("thumbnail", func(context.Context, string) (string, error) { return "", nil }, eventflow.Version("v7"))
	r, err := runner.New(f, runner.On(mem.Subscriber("uploads")), runner.At(eventflow.Cron("0 3 * * *", time.UTC)), runner.PublishTo(mem.Publisher("thumbs")))
	require.NoError(t, err)
	lines := map[string]string{}
	for line := range strings.Lines(r.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines[name] = strings.TrimSpace(value)
	}
	for name, want := range map[string]string{
		"flow": "thumbnail v7", "PublishTo": "1", "DeadLetterTo": "false", "Store": "*store.Memory",
		"MaxRuns": "64", "FireSlots": "1", "MaxInFlight": "1024", "MaxPerLane": "64", "MaxDelayed": "512", "MaxHeldBytes": "67108864", "MaxAttempts": "5",
		"Slack": "5", "Backoff": "1s doubling to 1m0s, full jitter", "MaxHold": "5m0s", "MaxAge": "none", "Timeout": "none", "Lease": "30s", "Grace": "30s", "HardStop": "10s",
	} {
		require.Equal(t, want, lines[name], name)
	}
	require.Contains(t, lines["On"], "memory/uploads")
	require.Contains(t, lines["At"], "cron(0 3 * * * UTC)")
}

// What an option sets is what is printed.
func TestADescriptionHasTheValuesInForce(t *testing.T) {
	t.Parallel()
	many := eventflow.NewSink("many", func(context.Context, eventflow.Batch[string]) error { return nil })
	mem := broker.NewMemory()
	r, err := runner.New(many, runner.On(mem.Subscriber("q"), runner.Named("uploads")), runner.DeadLetterTo(mem.Publisher("dead")), runner.MaxRuns(3), runner.MaxInFlight(320),
		runner.BatchOf(50, time.Second), runner.Backoff(func(int) time.Duration { return 0 }), runner.Timeout(time.Minute), runner.MaxAge(time.Hour))
	require.NoError(t, err)
	for _, want := range []string{
		`DeadLetterTo +true`, `MaxRuns +3`, `MaxInFlight +320`, `MaxPerLane +50`, `MaxDelayed +160`, `BatchOf +50 within 1s`, `Backoff +a function`,
		`Timeout +1m0s`, `MaxAge +1h0m0s`, `On +uploads`,
	} {
		require.Regexp(t, `(?m)^`+want+`\b`, r.String())
	}
	require.NotContains(t, r.String(), "memory/q", "its name is the option's")
}
