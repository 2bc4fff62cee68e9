// Quickstart replays a real week of earthquakes through two flows and a clock, in eleven seconds:
//
//	go run ./examples/quickstart
//
// Each quake is an event on the topic "quakes". The flow rate takes every one of them and returns an alert for those of
// magnitude 5 and more, which the runner publishes to the topic "alerts". The flow write takes these. A clock starts
// the job summary every two seconds. One event in the middle of the week is broken on purpose: it becomes a dead
// letter, and the quakes behind it do not notice.
//
// The program ends by itself when everything is settled, and fails when a number is not what it must be. Ctrl-C ends it
// earlier.
//
// The quakes are those that the United States Geological Survey reported from 2018-01-31 to 2018-02-07: its "all_week"
// feed, U.S. Government work in the public domain, as shipped in the npm package vega-datasets 3.2.1, with fields cut.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

const (
	strong  = 5.0             // the magnitude that is worth an alert
	summary = 2 * time.Second // how often the clock fires
)

// Quake is the payload of the events on the topic "quakes".
type Quake struct {
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Mag   float64   `json:"mag"`
	Place string    `json:"place"`
	Net   string    `json:"net"` // the reporting network
}

// Alert is the payload of the events on the topic "alerts".
type Alert struct {
	Quake string    `json:"quake"`
	Time  time.Time `json:"time"`
	Mag   float64   `json:"mag"`
	Place string    `json:"place"`
}

// desk is where the week is watched. Its methods are the flows: what a flow needs comes with the receiver.
type desk struct {
	out io.Writer

	mu        sync.Mutex // guards what follows: runs are parallel
	quakes    int
	latest    time.Time
	strongest Quake
	alerts    []Alert
}

// rate takes a quake and returns an alert if it was strong. A nil result publishes nothing.
func (d *desk) rate(_ context.Context, q Quake) (*Alert, error) {
	d.note(q)
	var a *Alert
	if q.Mag >= strong {
		a = &Alert{Quake: q.ID, Time: q.Time, Mag: q.Mag, Place: q.Place}
	}
	return a, nil
}

func (d *desk) note(q Quake) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quakes++
	if q.Time.After(d.latest) {
		d.latest = q.Time
	}
	if q.Mag > d.strongest.Mag {
		d.strongest = q
	}
}

// write takes an alert.
func (d *desk) write(_ context.Context, a Alert) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alerts = append(d.alerts, a)
	return nil
}

// summary tells how far the week has come. A clock starts it.
func (d *desk) summary(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	week, weekErr := readWeek()
	mem := broker.NewMemory()
	d := &desk{out: out}
	quiet := runner.Logger(slog.New(slog.DiscardHandler)) // the report shows the dead letter; the log would, too

	rate, rateErr := runner.New(eventflow.NewFlow("rate", d.rate), quiet,
		runner.On(mem.Subscriber("quakes")),
		runner.PublishTo(mem.Publisher("alerts")),
	)
	write, writeErr := runner.New(eventflow.NewSink("write", d.write), quiet,
		runner.On(mem.Subscriber("alerts")),
	)
	clock, clockErr := runner.New(eventflow.NewJob("summary", d.summary), quiet,
		runner.At(eventflow.Every(summary)),
	)
	if err := errors.Join(weekErr, rateErr, writeErr, clockErr); err != nil {
		return err
	}

	if err := d.opening(len(week)); err != nil {
		return err
	}

	listening, stop := context.WithCancel(ctx)
	defer stop()
	replayed := make(chan error, 1)
	go func() {
		defer stop()
		failed := replay(listening, mem.Publisher("quakes"), week)
		if failed == nil {
			failed = mem.WaitSettled(listening) // every quake is rated, every alert written
		}
		replayed <- failed
	}()
	err := runner.Listen(listening, rate, write, clock) // returns when every run has ended
	stop()
	if failed := <-replayed; err == nil && ctx.Err() == nil { // when interrupted, the replay was cut off: no failure
		err = failed
	}
	if err != nil {
		return err
	}

	return d.close(results{
		rate: rate.Counts(), write: write.Counts(), clock: clock.Counts(),
		dead:        mem.DeadLetters("quakes"),
		interrupted: ctx.Err() != nil,
	})
}
