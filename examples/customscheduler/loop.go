package main

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
)

// loop runs what a schedule says, one after another.
type loop struct {
	schedule *eventflow.Schedule
	now      func() time.Time
	sleep    func(ctx context.Context, d time.Duration) error
	run      func(ctx context.Context, f eventflow.Fire, missed int) error
}

// listen goes on until the schedule has ended, or ctx. It asks for what comes after the last nominal time, not after
// now: else what falls into a long run would vanish without a word. Of the fires of a clock that are overdue it runs the
// latest, and tells how many there were before.
func (l loop) listen(ctx context.Context, after time.Time) error {
	for {
		due := map[string]eventflow.Fire{}
		missed := map[string]int{}
		var order []string
		for {
			fires := l.schedule.Next(after)
			if len(fires) == 0 || len(order) > 0 && fires[0].Nominal.After(l.now()) {
				break
			}
			after = fires[0].Nominal
			if err := l.wait(ctx, after); err != nil {
				return err
			}
			for _, f := range fires { // all of one instant: each has its own parameters
				if _, seen := due[f.Clock]; seen {
					missed[f.Clock]++
				} else {
					order = append(order, f.Clock)
				}
				due[f.Clock] = f
			}
		}
		if len(order) == 0 {
			return nil
		}
		for _, clock := range order {
			if err := l.run(ctx, due[clock], missed[clock]); err != nil {
				return err
			}
		}
	}
}

// wait sleeps until an instant, at most a minute at a time: machines sleep too, and clocks are put right.
func (l loop) wait(ctx context.Context, until time.Time) error {
	for {
		left := until.Sub(l.now())
		if left <= 0 {
			return ctx.Err()
		}
		if err := l.sleep(ctx, min(left, time.Minute)); err != nil {
			return err
		}
	}
}
