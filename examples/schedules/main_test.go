package main

import (
	"bytes"
	"strings"
	"testing"
)

const printed = `
Friday, 27 March 2026
  01:30 WET   backup
  01:30 WET   backup, to the letter
  01:30 WET   backup, as calendars do
  09:00 WET   report
  12:00 WET   certificates
  22:00 WET   close of New York        18:00 EDT

Saturday, 28 March 2026
  01:30 WET   backup
  01:30 WET   backup, to the letter
  01:30 WET   backup, as calendars do
- 09:00 WET   report                   filtered: not in weekdays(Europe/Lisbon)
> 12:00 WET   wages                    to Mon 2026-03-30 12:00:00 +0100

Sunday, 29 March 2026   (the clock is put forward by 1h0m0s)
  00:00 WET   certificates
  02:00 WEST  backup                   the clock jumps over 01:30
x 02:00 WEST  backup, to the letter    no such reading: the clock jumps over 01:30
  02:30 WEST  backup, as calendars do  the clock jumps over 01:30
- 09:00 WEST  report                   filtered: not in weekdays(Europe/Lisbon)
  22:15 WEST  stocktaking

Monday, 30 March 2026
  01:30 WEST  backup
  01:30 WEST  backup, to the letter
  01:30 WEST  backup, as calendars do
  08:00 WEST  week's plan
  09:00 WEST  report
  12:00 WEST  wages                    moved here by an adjustment
  13:00 WEST  certificates
  23:00 WEST  close of New York        18:00 EDT

Tuesday, 31 March 2026
  01:30 WEST  backup
  01:30 WEST  backup, to the letter
  01:30 WEST  backup, as calendars do
  09:00 WEST  report
  11:00 WEST  launch
  17:30 WEST  digest
  20:00 WEST  end of the quarter
  23:00 WEST  close of New York        18:00 EDT

Wednesday, 1 April 2026
  01:00 WEST  certificates
  01:30 WEST  backup
  01:30 WEST  backup, to the letter
  01:30 WEST  backup, as calendars do
- 09:00 WEST  report                   filtered: in date(04-01 Europe/Lisbon)
  22:15 WEST  stocktaking
  23:00 WEST  close of New York        18:00 EDT

Thursday, 2 April 2026
  01:30 WEST  backup
  01:30 WEST  backup, to the letter
  01:30 WEST  backup, as calendars do
  09:00 WEST  report
  13:00 WEST  certificates
  17:30 WEST  digest
  23:00 WEST  close of New York        18:00 EDT

- kept out by a filter   > moved by an adjustment   x not run because of summer time
`

func TestItPrintsTheWeekInWhichSummerTimeBegins(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(&out, "2026-03-27"); err != nil {
		t.Fatal(err)
	}
	if out.String() != printed {
		t.Errorf("it printed\n%s", out.String())
	}
}

func TestTheWeekInWhichItEndsHasAnHourTwice(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(&out, "2026-10-23"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Sunday, 25 October 2026   (the clock is put back by 1h0m0s)\n",
		"  01:30 WEST  backup\n", "x 01:30 WET   backup                   other reading: the clock showed 01:30 before\n",
		"  01:30 WEST  backup, to the letter\n", "  01:30 WET   backup, to the letter\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("there is no %q in\n%s", line, out.String())
		}
	}
}

func TestADayThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	if err := run(&bytes.Buffer{}, "2026-02-30"); err == nil {
		t.Error("no error")
	}
}
