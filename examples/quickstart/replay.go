package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

const (
	replayTime = 11 * time.Second      // how long the week takes
	step       = 50 * time.Millisecond // what happens within it is published in one call
)

//go:embed earthquakes-2018-02.jsonl
var recorded []byte

// brokenID is the ID of the event whose payload was cut off on its way.
const brokenID = "cut-off"

// readWeek gives the week's events, oldest first, with the broken one in their middle.
func readWeek() ([]eventflow.Event, error) {
	var week []eventflow.Event
	for line := range bytes.Lines(recorded) {
		var q Quake
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(week)+1, err)
		}
		week = append(week, eventflow.Event{
			ID:              q.ID, // with the source: published twice, it would still run once
			Source:          "https://earthquake.usgs.gov",
			Type:            "gov.usgs.quake",
			Key:             q.Net, // quakes of one network keep their order
			Time:            q.Time,
			DataContentType: "application/json",
			Data:            bytes.TrimSpace(line),
		})
	}
	middle := len(week) / 2
	broken := week[middle]
	broken.ID, broken.Data = brokenID, broken.Data[:len(broken.Data)/3]
	return slices.Insert(week, middle, broken), nil
}

// replay publishes the week as it happened, about 55,000 times faster.
func replay(ctx context.Context, to eventflow.Publisher, week []eventflow.Event) error {
	first, last := week[0].Time, week[len(week)-1].Time
	pace := float64(last.Sub(first)) / float64(replayTime)
	start := time.Now()
	tick := time.NewTicker(step)
	defer tick.Stop()
	for len(week) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := first.Add(time.Duration(float64(time.Since(start)) * pace))
		n := 0
		for n < len(week) && !week[n].Time.After(now) {
			n++
		}
		if err := to.Publish(ctx, week[:n]...); err != nil {
			return err
		}
		week = week[n:]
	}
	return nil
}
