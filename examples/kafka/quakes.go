package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/eventflow-go/eventflow"
)

//go:embed earthquakes.jsonl
var recorded []byte

// readWeek gives the week's events, oldest first, and in their middle one whose payload was cut off on its way.
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
			Key:             q.ID,
			Time:            q.Time,
			DataContentType: "application/json",
			Data:            bytes.TrimSpace(line),
		})
	}
	broken := week[len(week)/2]
	broken.ID, broken.Data = "cut-off", broken.Data[:len(broken.Data)/3]
	return slices.Insert(week, len(week)/2, broken), nil
}
