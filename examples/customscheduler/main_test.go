package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

const printed = `The plan
  22:30 WET  crawl    runs
  00:30 WET  crawl    runs
  02:00 WEST index    runs: the clock jumps over 01:30
  02:30 WEST crawl    runs
  04:30 WEST crawl    runs
  04:30 WEST mail eu  runs
  04:30 WEST mail us  runs
  06:30 WEST crawl    filtered: in times(05:00:00 07:00:00 Europe/Lisbon)
  08:30 WEST crawl    runs
  10:30 WEST crawl    runs

The runs
  22:30 WET  crawl    nominally 22:30, 0 missed, parameters map[]
  00:30 WET  crawl    nominally 00:30, 0 missed, parameters map[]
  06:30 WEST index    nominally 02:00, 0 missed, parameters map[]
  06:30 WEST crawl    nominally 04:30, 1 missed, parameters map[]
  06:30 WEST mail eu  nominally 04:30, 0 missed, parameters map[Region:eu]
  06:30 WEST mail us  nominally 04:30, 0 missed, parameters map[Region:us]
  08:30 WEST crawl    nominally 08:30, 0 missed, parameters map[]
  10:30 WEST crawl    nominally 10:30, 0 missed, parameters map[]
`

func TestItPrintsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != printed {
		t.Errorf("it printed\n%s", out.String())
	}
}

func TestItEndsWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
