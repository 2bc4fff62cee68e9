package runner_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

type order struct{ Region, Size string }

// noting is a flow that notes the parameters and the clock of each run, "eu/small eu@01:00".
func noting(rec *recorder) *eventflow.Flow {
	return eventflow.NewSink("f", func(ctx context.Context, p order) error {
		f := eventflow.RunFrom(ctx).Fire
		rec.note(p.Region + "/" + p.Size + " " + f.Clock + "@" + f.Nominal.Format("02T15:04"))
		return nil
	})
}

func region(name string) eventflow.Parameters { return eventflow.Parameters{"Region": name} }

func TestFiresOfOneInstantRunEachWithTheirOwnParameters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		hourly := eventflow.Every(time.Hour)
		s := eventflow.NewSchedule(
			eventflow.Entry(hourly).Named("eu").With(region("eu")),
			eventflow.Entry(hourly).Named("us").With(region("us")),
			eventflow.Entry(hourly).Named("none"),
		)
		r := b.new(noting(rec), runner.AtSchedule(s, runner.With(eventflow.Parameters{"Region": "?", "Size": "small"})))
		stop := b.listen(r)
		time.Sleep(2*time.Hour + time.Minute)
		require.NoError(t, stop())
		got := rec.list()
		slices.Sort(got)
		require.Equal(t, []string{
			"?/small none@01T01:00", "?/small none@01T02:00", "eu/small eu@01T01:00", "eu/small eu@01T02:00", "us/small us@01T01:00", "us/small us@01T02:00",
		}, got, "the clock's own parameters go before those of the option, and none stay from the fire before")
		require.EqualValues(t, 6, balanced(t, r).Fires.Outcomes[eventflow.Succeeded])
	})
}

func TestAnEntrysNameParametersAndLabelsReachTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var fires []eventflow.Fire
		f := eventflow.NewSink("f", func(ctx context.Context, p order) error {
			require.Equal(t, "eu", p.Region)
			fires = append(fires, *eventflow.RunFrom(ctx).Fire)
			return nil
		})
		at := time.Now().Add(time.Hour)
		entry := eventflow.Entry(eventflow.Dates(at)).Named("eu").With(region("eu")).Labelled("a")
		require.NoError(t, b.new(f, runner.At(entry)).Listen(t.Context()))
		require.NoError(t, b.new(f, runner.AtSchedule(eventflow.NewSchedule(eventflow.Entry(eventflow.Dates(at.Add(time.Hour))).Named("eu").With(region("eu")).Labelled("a")))).Listen(t.Context()))
		require.Len(t, fires, 2)
		for i, fire := range fires {
			require.Equal(t, "eu", fire.Clock)
			require.Equal(t, at.Add(time.Duration(i)*time.Hour).UTC(), fire.Nominal)
			require.Equal(t, []string{"a"}, fire.Labels)
			require.Equal(t, region("eu"), fire.Parameters)
		}
	})
}

func TestEqualFiresOfAScheduleRunOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		s := eventflow.NewSchedule(eventflow.Entry(eventflow.Every(time.Hour)).Named("hourly"), eventflow.Entry(eventflow.Every(2*time.Hour)).Named("second"))
		r := b.new(noting(rec), runner.AtSchedule(s, runner.Missed(runner.MissedAll, 0, 0)))
		stop := b.listen(r)
		time.Sleep(4*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"/ hourly@01T01:00", "/ hourly@01T02:00", "/ hourly@01T03:00", "/ hourly@01T04:00"}, rec.list())
		require.EqualValues(t, 4, balanced(t, r).Fires.Received, "what is another clock's is not even counted")
	})
}

func TestFiltersAndAdjustmentsHoldInTheRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{} // it is Saturday, 1 January 2000
		s := eventflow.NewSchedule(eventflow.Entry(eventflow.Cron("0 9 * * *", time.UTC)).Named("daily")).
			NoneOf(eventflow.OnDate(time.January, 5, time.UTC)).Adjust(eventflow.NextWeekday(time.UTC), eventflow.Shift(-time.Hour))
		r := b.new(noting(rec), runner.AtSchedule(s))
		stop := b.listen(r)
		time.Sleep(6 * 24 * time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{"/ daily@03T08:00", "/ daily@04T08:00", "/ daily@06T08:00"}, rec.list(), "Saturday, Sunday and Monday are one Monday, the 5th is none")
		balanced(t, r)
	})
}

func TestEachClockOfAScheduleKeepsItsOwnPlaceOverADowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := store.NewMemory()
		schedule := func(more ...eventflow.TimeClock) *eventflow.Schedule {
			return eventflow.NewSchedule(append([]eventflow.TimeClock{
				eventflow.Entry(eventflow.Every(time.Hour)).Named("hourly"), eventflow.Entry(eventflow.Every(3 * time.Hour)).Named("third").With(region("x")),
			}, more...)...)
		}
		stop := b.listen(b.new(noting(rec), runner.AtSchedule(schedule()), runner.Store(st)))
		time.Sleep(3*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Len(t, rec.list(), 4)

		time.Sleep(4 * time.Hour) // down from 03:01 until 07:01
		added := eventflow.Entry(eventflow.Every(30 * time.Minute)).Named("added").With(region("y"))
		r := b.new(noting(rec), runner.AtSchedule(schedule(added)), runner.Store(st))
		stop = b.listen(r)
		synctest.Wait()
		got := rec.list()[4:]
		slices.Sort(got)
		require.Equal(t, []string{"/ hourly@01T07:00", "x/ third@01T06:00"}, got, "the latest of each; the one that was added missed nothing")
		require.EqualValues(t, 3, balanced(t, r).Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "missed"}], "04:00, 05:00 and 06:00 of the first")
		require.NoError(t, stop())

		stop = b.listen(b.new(noting(rec), runner.AtSchedule(schedule(added)), runner.Store(st)))
		synctest.Wait()
		require.Len(t, rec.list(), 6, "nothing twice")
		require.NoError(t, stop())

		time.Sleep(2 * time.Hour)
		stop = b.listen(b.new(noting(rec), runner.AtSchedule(schedule().NoneOf(eventflow.OnDate(time.May, 1, time.UTC))), runner.Store(st)))
		synctest.Wait()
		require.Len(t, rec.list(), 6, "with another filter they are other clocks: they begin now")
		require.NoError(t, stop())
	})
}

// evenAndHourly are two clocks of which the first takes every other fire of the second.
func evenAndHourly() *eventflow.Schedule {
	return eventflow.NewSchedule(eventflow.Entry(eventflow.Every(2*time.Hour)).Named("even"), eventflow.Entry(eventflow.Every(time.Hour)).Named("hourly"))
}

func TestAClockKeepsItsPlaceWhateverComesOrGoesBeforeIt(t *testing.T) {
	t.Parallel()
	third := eventflow.Entry(eventflow.Every(3 * time.Hour)).Named("third")
	monthly := eventflow.Entry(eventflow.Cron("0 0 1 * *", time.UTC)).Named("monthly")
	sixth := eventflow.Entry(eventflow.Every(6 * time.Hour)).Named("sixth")
	for name, c := range map[string][2]*eventflow.Schedule{
		"added":            {eventflow.NewSchedule(third), eventflow.NewSchedule(monthly, third)},
		"taken out":        {eventflow.NewSchedule(monthly, third), eventflow.NewSchedule(third)},
		"reordered":        {eventflow.NewSchedule(third, monthly), eventflow.NewSchedule(monthly, third)},
		"added, and equal": {eventflow.NewSchedule(third), eventflow.NewSchedule(sixth, third)}, // which begins after 06:00
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec, st := setup(t), &recorder{}, store.NewMemory()
				stop := b.listen(b.new(noting(rec), runner.AtSchedule(c[0]), runner.Store(st)))
				time.Sleep(3*time.Hour + time.Minute)
				require.NoError(t, stop())
				time.Sleep(4 * time.Hour) // down until 07:01
				r := b.new(noting(rec), runner.AtSchedule(c[1]), runner.Store(st))
				stop = b.listen(r)
				synctest.Wait()
				require.Equal(t, []string{"/ third@01T03:00", "/ third@01T06:00"}, rec.list())
				time.Sleep(5 * time.Hour)
				require.NoError(t, stop())
				require.Len(t, rec.list(), 4, "09:00 and 12:00 once: %v", rec.list())
				balanced(t, r)
			})
		})
	}
}

func TestAMissedFireThatIsAnotherClocksIsNotMadeUpFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := store.NewMemory()
		s := evenAndHourly()
		stop := b.listen(b.new(noting(rec), runner.AtSchedule(s), runner.Store(st)))
		time.Sleep(2*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"/ hourly@01T01:00", "/ even@01T02:00"}, rec.list())

		time.Sleep(2 * time.Hour) // down at 03:00 and 04:00
		r := b.new(noting(rec), runner.AtSchedule(s), runner.Store(st))
		stop = b.listen(r)
		synctest.Wait()
		got := rec.list()[2:]
		slices.Sort(got)
		require.Equal(t, []string{"/ even@01T04:00", "/ hourly@01T03:00"}, got, "04:00 is the other's, so 03:00 is the latest")
		require.NoError(t, stop())
	})
}

func TestOfMissedFiresEachIsMadeUpForByItsOwnClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := store.NewMemory()
		s := evenAndHourly()
		for range 2 {
			r := b.new(noting(rec), runner.AtSchedule(s, runner.Missed(runner.MissedAll, 0, 0)), runner.Store(st))
			stop := b.listen(r)
			time.Sleep(140 * time.Minute)
			require.NoError(t, stop())
			balanced(t, r)
			time.Sleep(190 * time.Minute) // down from 02:20 until 05:30
		}
		got := rec.list()
		slices.Sort(got)
		require.Equal(t, []string{"/ even@01T02:00", "/ even@01T04:00", "/ even@01T06:00", "/ hourly@01T01:00", "/ hourly@01T03:00", "/ hourly@01T05:00", "/ hourly@01T07:00"}, got)
	})
}

func TestAPausedClockPassesOverItsOwnFiresOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		s := evenAndHourly()
		var passed []string
		r := b.new(noting(rec), runner.AtSchedule(s), runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			if d.Reason == "paused" {
				passed = append(passed, d.Key.String())
			}
		})))
		require.NoError(t, r.Pause("hourly"))
		stop := b.listen(r)
		time.Sleep(4*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"f/hourly@2000-01-01T01:00:00Z", "f/hourly@2000-01-01T03:00:00Z"}, passed)
		require.Equal(t, []string{"/ even@01T02:00", "/ even@01T04:00"}, rec.list())
	})
}

func TestAnEqualFireOfAPausedClockIsTheNextOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		every := func(n int, name string) eventflow.TimeClock {
			return eventflow.Entry(eventflow.Every(time.Duration(n) * time.Hour)).Named(name)
		}
		r := b.new(noting(rec), runner.AtSchedule(eventflow.NewSchedule(every(2, "second"), every(4, "fourth"), every(1, "hourly"))))
		require.NoError(t, r.Pause("second"))
		stop := b.listen(r)
		time.Sleep(5*time.Hour + time.Minute)
		require.NoError(t, r.Resume("second"))
		require.NoError(t, r.Pause("hourly"))
		time.Sleep(3 * time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{
			"/ hourly@01T01:00", "/ hourly@01T02:00", "/ hourly@01T03:00", "/ fourth@01T04:00", "/ hourly@01T05:00", "/ second@01T06:00", "/ second@01T08:00",
		}, rec.list())
		balanced(t, r)
	})
}

func TestWhatAClockRanBeforeItWasPausedIsNotRunByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		stop := b.listen(b.new(noting(rec), runner.AtSchedule(evenAndHourly()), runner.Store(st)))
		time.Sleep(4*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"/ hourly@01T01:00", "/ even@01T02:00", "/ hourly@01T03:00", "/ even@01T04:00"}, rec.list())
		time.Sleep(2*time.Hour + 30*time.Minute) // down from 04:01 until 06:31: that hourly had no fire of its own since 03:00 says nothing of 04:00
		r := b.new(noting(rec), runner.AtSchedule(evenAndHourly(), runner.Missed(runner.MissedAll, 0, 0)), runner.Store(st))
		require.NoError(t, r.Pause("even"))
		stop = b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []string{"/ hourly@01T05:00", "/ hourly@01T06:00"}, rec.list()[4:], "06:00 nobody ran")
		balanced(t, r)
	})
}

func TestFiresThatOptionsMakeEqualAreTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		s := eventflow.NewSchedule(eventflow.Entry(eventflow.Every(time.Hour)).Named("a").With(region("x")), eventflow.Entry(eventflow.Every(time.Hour)).Named("b"))
		stop := b.listen(b.new(noting(rec), runner.AtSchedule(s, runner.With(region("x")))))
		time.Sleep(time.Hour + time.Minute)
		require.NoError(t, stop())
		got := rec.list()
		slices.Sort(got)
		require.Equal(t, []string{"x/ a@01T01:00", "x/ b@01T01:00"}, got, "they are equal before the options are added")
	})
}

func TestAnEqualFireThatItsClockSkipsIsNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			fire := eventflow.RunFrom(ctx).Fire
			rec.note(fire.Clock + fire.Nominal.Format("@15"))
			if fire.Clock == "even" {
				time.Sleep(150 * time.Minute)
			}
			return nil
		})
		r := b.new(f, runner.AtSchedule(evenAndHourly()))
		stop := b.listen(r)
		time.Sleep(5*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"hourly@01", "even@02", "hourly@03", "hourly@05"}, rec.list(), "even skips 04:00: it still runs")
		require.EqualValues(t, 1, balanced(t, r).Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "overlap"}])
	})
}

func TestASchedulesClockGivenToAtBringsItsNameAndParameters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		s := eventflow.NewSchedule(
			eventflow.Entry(eventflow.Every(2*time.Hour)).Named("even").With(region("x")), eventflow.Entry(eventflow.Every(time.Hour)).Named("hourly").With(region("x")),
		).NoneOf(eventflow.BetweenTimes("01:00", "01:30", time.UTC))
		r := b.new(noting(rec), runner.At(s.Clocks()[1], runner.With(eventflow.Parameters{"Region": "?", "Size": "small"})))
		require.NoError(t, r.Pause("hourly"))
		require.NoError(t, r.Resume("hourly"))
		stop := b.listen(r)
		time.Sleep(3*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"x/small hourly@01T02:00", "x/small hourly@01T03:00"}, rec.list(), "nobody else is here to run 02:00")
	})
}

func TestAClockWhoseSearchGivesUpIsSaidByName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		seven := eventflow.Every(7 * time.Hour) // never at half a minute
		filter := eventflow.AtTime("09:00:30", time.UTC)
		never := eventflow.NewSchedule(eventflow.Entry(seven).Named("never")).AllOf(filter)
		for _, opt := range []runner.Option{runner.AtSchedule(never), runner.At(never.Clocks()[0])} {
			_, err := runner.New(noting(&recorder{}), opt)
			var bad *eventflow.ConfigError
			require.ErrorAs(t, err, &bad, "Listen would return at once, as if every clock had ended")
			require.Equal(t, "never", bad.Value)
		}

		for name, late := range map[string]time.Duration{"after a fire": 0, "before the first": 8 * time.Hour} {
			var log strings.Builder
			once := eventflow.NewSchedule(eventflow.Entry(seven).Named("once")).AnyOf(filter, eventflow.OnInstant(seven.Next(time.Now())))
			end := eventflow.NewSchedule(eventflow.Entry(eventflow.Dates(time.Now().Add(time.Hour))).Named("end"))
			r := b.new(noting(&recorder{}), runner.AtSchedule(once), runner.AtSchedule(end), runner.Logger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))))
			time.Sleep(late)
			require.NoError(t, r.Listen(t.Context()), name)
			require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "%s: %s", name, log.String())
			require.Contains(t, log.String(), "trigger=once", name)
		}
	})
}

func TestReplicasRunEachFireOfAScheduleOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := store.NewMemory()
		s := eventflow.NewSchedule(
			eventflow.Entry(eventflow.Every(time.Minute)).Named("a").With(region("a")), eventflow.Entry(eventflow.Every(time.Minute)).Named("b").With(region("b")),
			eventflow.Entry(eventflow.Every(2*time.Minute)).Named("c").With(region("b")),
		)
		var stops []func() error
		for range 3 {
			stops = append(stops, b.listen(b.new(noting(rec), runner.AtSchedule(s, runner.Jitter(10*time.Second)), runner.Store(st))))
		}
		time.Sleep(30*time.Minute + 30*time.Second)
		for _, stop := range stops {
			require.NoError(t, stop())
		}
		got := rec.list()
		require.Len(t, got, 60, "c is b, every other minute")
		slices.Sort(got)
		require.Len(t, slices.Compact(got), 60)
	})
}

func TestOverlapIsEachClocksOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		f := eventflow.NewSink("f", func(ctx context.Context, p order) error {
			rec.note(p.Region + eventflow.RunFrom(ctx).Fire.Nominal.Format("15:04"))
			if p.Region == "slow" {
				select {
				case <-time.After(150 * time.Second):
				case <-ctx.Done():
				}
			}
			return nil
		})
		s := eventflow.NewSchedule(
			eventflow.Entry(eventflow.Every(time.Minute)).Named("a").With(region("slow")),
			eventflow.Entry(eventflow.Every(time.Minute).Phase(time.Second)).Named("b").With(region("b")),
		)
		r := b.new(f, runner.AtSchedule(s))
		stop := b.listen(r)
		time.Sleep(4*time.Minute + 2*time.Second)
		require.NoError(t, r.Pause("b"))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"b00:00", "slow00:01", "b00:01", "b00:02", "b00:03", "slow00:04", "b00:04"}, rec.list())
		require.NoError(t, stop())
		balanced(t, r)
	})
}

func TestBackfillOfAScheduleLeavesOutWhatIsAnotherClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		s := evenAndHourly()
		r := b.new(noting(rec), runner.AtSchedule(s))
		begin := time.Now()
		time.Sleep(4 * time.Hour)
		done, err := r.Backfill(t.Context(), "hourly", begin, time.Now())
		require.NoError(t, err)
		require.Equal(t, 2, done.Fires)
		require.Equal(t, []string{"/ hourly@01T01:00", "/ hourly@01T03:00"}, rec.list())
	})
}

// asked counts how often its clock is asked.
type asked struct {
	eventflow.TimeClock
	n *atomic.Int64
}

func (c asked) Next(after time.Time) time.Time {
	c.n.Add(1)
	return c.TimeClock.Next(after)
}

func TestBackfillLooksAtABoundedNumberOfFiresWhosesoeverTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := eventflow.NewSchedule(eventflow.Entry(eventflow.Every(time.Second)).Named("a"), eventflow.Entry(asked{eventflow.Every(time.Second), &n}).Named("b"))
		r := setup(t).new(hours(&recorder{}), runner.AtSchedule(s))
		begin := time.Now()
		time.Sleep(20 * 24 * time.Hour)
		n.Store(0)
		_, err := r.Backfill(t.Context(), "b", begin, time.Now())
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, bad.Allowed, begin.Add(10_000*time.Second).UTC().Format(time.RFC3339), "where to go on")
		require.Less(t, n.Load(), int64(11_000))
		done, err := r.Backfill(t.Context(), "b", begin, begin.Add(10_000*time.Second))
		require.NoError(t, err)
		require.Zero(t, done.Fires, "all of them are the other's")
	})
}

func TestAScheduleThatCannotBeIsRefusedByName(t *testing.T) {
	t.Parallel()
	f := eventflow.NewSink("f", func(context.Context, order) error { return nil })
	hourly := eventflow.Every(time.Hour)
	for field, opt := range map[string]runner.Option{
		"runner.AtSchedule":        runner.AtSchedule(nil),
		"runner.AtSchedule option": runner.AtSchedule(eventflow.NewSchedule(hourly), nil),
		"runner.AtSchedule Named":  runner.AtSchedule(eventflow.NewSchedule(hourly), runner.Named("x")),
		"eventflow.NewSchedule":    runner.AtSchedule(eventflow.NewSchedule()),
		"eventflow.Every":          runner.AtSchedule(eventflow.NewSchedule(eventflow.Every(0))),
		"runner.At":                runner.AtSchedule(eventflow.NewSchedule(eventflow.Entry(impure{}).Named("impure"))),
		"flow f parameters":        runner.AtSchedule(eventflow.NewSchedule(eventflow.Entry(hourly).With(eventflow.Parameters{"Nowhere": 1}))),
	} {
		_, err := runner.New(f, opt)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
	}
	_, err := runner.New(f, runner.At(hourly), runner.AtSchedule(eventflow.NewSchedule(hourly)))
	require.ErrorContains(t, err, "every(1h0m0s)", "a name is one trigger's")
}

type impure struct{}

func (impure) Next(after time.Time) time.Time { return after.Add(time.Hour) }
