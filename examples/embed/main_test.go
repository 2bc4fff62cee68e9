package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

const printed = `Clocks alone

  every(6h0m0s)                                      Sat 28 Mar 18:00  Sun 29 Mar 00:00  Sun 29 Mar 06:00
  cron(30 8 * * 1-5 UTC)                             Mon 30 Mar 08:30  Tue 31 Mar 08:30  Wed  1 Apr 08:30
  cron(30 1 * * * Europe/Lisbon)                     Sun 29 Mar 02:00  Mon 30 Mar 01:30  Tue 31 Mar 01:30
  dates(2026-03-29T12:00:00Z,2026-04-28T12:00:00Z)   Sun 29 Mar 12:00  Tue 28 Apr 12:00

A receive loop of one's own

  event 1, Ada: succeeded
  event 2, nobody: dead-lettered
  event 1, Ada: duplicate
  published: 1, dead letters: 1

A scheduler of one's own

  run report/daily@2026-03-29T00:00:00Z
  29 Mar: succeeded
  29 Mar: duplicate
  run report/daily@2026-03-30T00:00:00Z
  30 Mar: succeeded
  30 Mar: duplicate

No runner at all

  {"cents":500} gives {"cents":100}
  {"cents":"many"} does not fit: cents cannot be a string
`

func TestItPrintsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != printed {
		t.Errorf("it printed\n%s\nand must print\n%s", out.String(), printed)
	}
}

func TestWriterThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestCancelledContextEndsIt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
