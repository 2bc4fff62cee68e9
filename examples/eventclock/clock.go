package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Dir is an event clock: each file of a directory is an event without a payload, its Subject the file's path; a file
// that was changed is another event. A Dir hands each over once. The next process does so again: the runner's store
// knows by the ID what was run. Move whole files in: of one that grows there may be several events.
type Dir struct {
	Path  string
	Every time.Duration   // between two looks
	given map[string]bool // by event ID: of what is there, what was handed over
}

// Next waits for files. When the directory cannot be read the runner asks again, with backoff.
func (d *Dir) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	for {
		files, err := os.ReadDir(d.Path)
		if err != nil {
			return nil, err
		}
		var ds []*eventflow.Delivery
		given := make(map[string]bool, len(files))
		for _, f := range files {
			info, err := f.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue // gone meanwhile, or no file
			}
			id := fmt.Sprintf("%s/%d/%d", f.Name(), info.Size(), info.ModTime().UnixNano())
			given[id] = d.given[id] || len(ds) < max(want.Events, 1)
			if given[id] && !d.given[id] {
				ds = append(ds, &eventflow.Delivery{Event: eventflow.Event{
					ID: id, Source: d.Path, Subject: filepath.Join(d.Path, f.Name()), Time: info.ModTime()}})
			}
		}
		if d.given = given; len(ds) > 0 {
			return ds, nil
		}
		select {
		case <-time.After(d.Every):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
