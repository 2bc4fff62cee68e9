package eventflow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// All examples of RFC 5545, section 3.8.5.3, in its order and by its own lists. In New York, at 09:00 where want says no
// time; "1997-09-02,09 10-07" is three days. A list that goes on ends with "…". The RFC's UNTIL of "every 3 hours from
// 9:00 to 5:00" is 13:00 in New York, a known mistake (errata 3883); the one that it means stands beside it.
var rfcExamples = []struct {
	name, start, rules, want string // several rules, all with the same list, are on lines of their own
}{
	{"daily for 10 occurrences", "19970902", "FREQ=DAILY;COUNT=10", "1997-09-02,03,04,05,06,07,08,09,10,11"},
	{"daily until December 24, 1997", "19970902", "FREQ=DAILY;UNTIL=19971224T000000Z", "1997-09-02..12-23"},
	{"every other day", "19970902", "FREQ=DAILY;INTERVAL=2", "1997-09-02,04,06,08,10,12,14,16,18,20,22,24,26,28,30 10-02,04,06,08,10,12,14,16,18,20,22,24,26,28,30 11-01,03,05 …"},
	{"every 10 days, 5 occurrences", "19970902", "FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02,12,22 10-02,12"},
	{
		"every day in January, for 3 years", "19980101", "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA\nFREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
		"1998-01-01..01-31 1999-01-01..01-31 2000-01-01..01-31",
	},
	{"weekly for 10 occurrences", "19970902", "FREQ=WEEKLY;COUNT=10", "1997-09-02,09,16,23,30 10-07,14,21,28 11-04"},
	{"weekly until December 24, 1997", "19970902", "FREQ=WEEKLY;UNTIL=19971224T000000Z", "1997-09-02,09,16,23,30 10-07,14,21,28 11-04,11,18,25 12-02,09,16,23"},
	{"every other week", "19970902", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02,16,30 10-14,28 11-11,25 12-09,23 1998-01-06,20 02-03,17 …"},
	{
		"weekly on Tuesday and Thursday for five weeks", "19970902", "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH\nFREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
		"1997-09-02,04,09,11,16,18,23,25,30 10-02",
	},
	{
		"every other week on Monday, Wednesday, and Friday until December 24, 1997, starting on Monday, September 1, 1997", "19970901",
		"FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
		"1997-09-01,03,05,15,17,19,29 10-01,03,13,15,17,27,29,31 11-10,12,14,24,26,28 12-08,10,12,22",
	},
	{"every other week on Tuesday and Thursday, for 8 occurrences", "19970902", "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "1997-09-02,04,16,18,30 10-02,14,16"},
	{"monthly on the first Friday for 10 occurrences", "19970905", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05 10-03 11-07 12-05 1998-01-02 02-06 03-06 04-03 05-01 06-05"},
	{"monthly on the first Friday until December 24, 1997", "19970905", "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR", "1997-09-05 10-03 11-07 12-05"},
	{
		"every other month on the first and last Sunday of the month for 10 occurrences", "19970907", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
		"1997-09-07,28 11-02,30 1998-01-04,25 03-01,29 05-03,31",
	},
	{"monthly on the second-to-last Monday of the month for 6 months", "19970922", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22 10-20 11-17 12-22 1998-01-19 02-16"},
	{"monthly on the third-to-the-last day of the month", "19970928", "FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 10-29 11-28 12-29 1998-01-29 02-26 …"},
	{"monthly on the 2nd and 15th of the month for 10 occurrences", "19970902", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15", "1997-09-02,15 10-02,15 11-02,15 12-02,15 1998-01-02,15"},
	{"monthly on the first and last day of the month for 10 occurrences", "19970930", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997-09-30 10-01,31 11-01,30 12-01,31 1998-01-01,31 02-01"},
	{
		"every 18 months on the 10th thru 15th of the month for 10 occurrences", "19970910", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
		"1997-09-10,11,12,13,14,15 1999-03-10,11,12,13",
	},
	{"every Tuesday, every other month", "19970902", "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "1997-09-02,09,16,23,30 11-04,11,18,25 1998-01-06,13,20,27 03-03,10,17,24,31 …"},
	{
		"yearly in June and July for 10 occurrences", "19970610", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
		"1997-06-10 07-10 1998-06-10 07-10 1999-06-10 07-10 2000-06-10 07-10 2001-06-10 07-10",
	},
	{
		"every other year on January, February, and March for 10 occurrences", "19970310", "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
		"1997-03-10 1999-01-10 02-10 03-10 2001-01-10 02-10 03-10 2003-01-10 02-10 03-10",
	},
	{
		"every third year on the 1st, 100th, and 200th day for 10 occurrences", "19970101", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
		"1997-01-01 04-10 07-19 2000-01-01 04-09 07-18 2003-01-01 04-10 07-19 2006-01-01",
	},
	{"every 20th Monday of the year", "19970519", "FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17 …"},
	{"Monday of week number 20", "19970512", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12 1998-05-11 1999-05-17 …"},
	{"every Thursday in March", "19970313", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13,20,27 1998-03-05,12,19,26 1999-03-04,11,18,25 …"},
	{
		"every Thursday, but only during June, July, and August", "19970605", "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
		"1997-06-05,12,19,26 07-03,10,17,24,31 08-07,14,21,28 1998-06-04,11,18,25 07-02,09,16,23,30 08-06,13,20,27 1999-06-03,10,17,24 07-01,08,15,22,29 08-05,12,19,26 …",
	},
	{"every Friday the 13th", "19970902", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13 EXDATE;TZID=America/New_York:19970902T090000", "1998-02-13 03-13 11-13 1999-08-13 2000-10-13 …"},
	{
		"the first Saturday that follows the first Sunday of the month", "19970913", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
		"1997-09-13 10-11 11-08 12-13 1998-01-10 02-07 03-07 04-11 05-09 06-13 …",
	},
	{"every 4 years, the first Tuesday after a Monday in November", "19961105", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05 2000-11-07 2004-11-02 …"},
	{"the third instance into the month of one of Tuesday, Wednesday, or Thursday, for the next 3 months", "19970904", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 10-07 11-06"},
	{"the second-to-last weekday of the month", "19970929", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 10-30 11-27 12-30 1998-01-29 02-26 03-30 …"},
	{"every 3 hours from 9:00 AM to 5:00 PM on a specific day", "19970902", "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "1997-09-02T09:00 09-02T12:00 09-02T15:00"},
	{"the same with the UNTIL that the RFC prints", "19970902", "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z", "1997-09-02T09:00 09-02T12:00"},
	{"every 15 minutes for 6 occurrences", "19970902", "FREQ=MINUTELY;INTERVAL=15;COUNT=6", "1997-09-02T09:00 09-02T09:15 09-02T09:30 09-02T09:45 09-02T10:00 09-02T10:15"},
	{"every hour and a half for 4 occurrences", "19970902", "FREQ=MINUTELY;INTERVAL=90;COUNT=4", "1997-09-02T09:00 09-02T10:30 09-02T12:00 09-02T13:30"},
	{
		"every 20 minutes from 9:00 AM to 4:40 PM every day", "19970902", "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40\nFREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
		"1997-09-02T09:00 09-02T09:20 09-02T09:40 09-02T10:00 09-02T10:20 09-02T10:40 09-02T11:00 09-02T11:20 09-02T11:40 09-02T12:00 09-02T12:20 09-02T12:40 09-02T13:00 09-02T13:20 09-02T13:40 " +
			"09-02T14:00 09-02T14:20 09-02T14:40 09-02T15:00 09-02T15:20 09-02T15:40 09-02T16:00 09-02T16:20 09-02T16:40 09-03T09:00 09-03T09:20 …",
	},
	{"where WKST makes a difference: Monday", "19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05,10,19,24"},
	{"where WKST makes a difference: Sunday", "19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05,17,19,31"},
	{"an invalid date (February 30) is ignored", "20070115", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15,30 02-15 03-15,30"},
}

func TestRulesAreThoseOfRFC5545(t *testing.T) {
	t.Parallel()
	for _, example := range rfcExamples {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			want, more := expand(t, example.want)
			for rule := range strings.SplitSeq(example.rules, "\n") {
				c := eventflow.RRule("DTSTART;TZID=America/New_York:"+example.start+"T090000\nRRULE:"+rule, nil)
				require.NoError(t, c.Err(), rule)
				var got []string
				for at := c.Next(time.Time{}); !at.IsZero() && (len(got) < len(want) || !more); at = c.Next(at) {
					require.Equal(t, newYork, at.Location())
					got = append(got, at.Format("2006-01-02T15:04"))
				}
				require.Equal(t, want, got, rule)
			}
		})
	}
}

// expand gives the times of a list, and whether it goes on.
func expand(t *testing.T, list string) (times []string, more bool) {
	t.Helper()
	year, prefix := "", "" // year and month
	for word := range strings.FieldsSeq(list) {
		if word == "…" {
			return times, true
		}
		if strings.Count(strings.Split(word, "..")[0], "-") == 1 {
			word = year + "-" + word
		}
		year, prefix = word[:4], word[:8]
		if first, last, isRange := strings.Cut(word, ".."); isRange {
			day, err := time.Parse(time.DateOnly, first)
			require.NoError(t, err)
			for ; day.Format(time.DateOnly) <= year+"-"+last; day = day.AddDate(0, 0, 1) {
				times = append(times, day.Format(time.DateOnly)+"T09:00")
			}
			continue
		}
		for day := range strings.SplitSeq(word[8:], ",") {
			if !strings.Contains(day, "T") {
				day += "T09:00"
			}
			times = append(times, prefix+day)
		}
	}
	return times, false
}
