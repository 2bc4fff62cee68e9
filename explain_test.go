package eventflow_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestAnExpressionIsExplained(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		// Times of day.
		"0 3 * * *":               "At 03:00 every day, UTC.",
		"0 9,17 * * *":            "At 09:00 and 17:00 every day, UTC.",
		"30 22-2 * * *":           "At 00:30, 01:30, 02:30, 22:30 and 23:30 every day, UTC.",
		"15,45 0 3 * * *":         "At 03:00:15 and 03:00:45 every day, UTC.",
		"@daily":                  "At 00:00 every day, UTC.",
		"@hourly":                 "At minute 0 of every hour, UTC.",
		"* * * * *":               "Every minute, UTC.",
		"0-59 0-23 1-31 1-12 0-6": "Every minute, UTC.",
		"*/15 * * * *":            "Every 15 minutes, UTC.",
		"0,20,40 * * * *":         "Every 20 minutes, UTC.",
		"*/7 * * * *":             "At minutes 0 to 56 in steps of 7 of every hour, UTC; the steps of 7 begin again with every hour.",
		"*/40 * * * *":            "At minutes 0 and 40 of every hour, UTC; the steps of 40 begin again with every hour.",
		"5 * * * *":               "At minute 5 of every hour, UTC.",
		"1-59/2 * * * *":          "At minutes 1 to 59 in steps of 2 of every hour, UTC.",
		"58-1 * * * *":            "At minutes 58 to 1 of every hour, UTC.",
		"*/15 9-17 * * *":         "Every 15 minutes from 09:00 to 17:45, UTC.",
		"*/20 22-2 * * *":         "Every 20 minutes from 22:00 to 02:40 past midnight, UTC.",
		"* 2 * * *":               "Every minute from 02:00 to 02:59, UTC.",
		"* 9,11,13 * * *":         "Every minute of the hours 9, 11 and 13, UTC.",
		"0-30 4 * * *":            "At minutes 0 to 30 of hour 4, UTC.",
		"0 */2 * * *":             "At minute 0 of the hours 0 to 22 in steps of 2, UTC.",
		"0 */5 * * *":             "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day, UTC; the steps of 5 begin again with every day.",
		"0 8-18 * * *":            "At minute 0 of the hours 8 to 18, UTC.",
		"*/10 * * * * *":          "Every 10 seconds, UTC.",
		"* * * * * *":             "Every second, UTC.",
		"30 * * * * *":            "At second 30 of every minute, UTC.",
		"30 * 9-17 * * *":         "At second 30 of every minute from 09:00 to 17:59, UTC.",
		"*/10 59 * * * *":         "Every 10 seconds of minute 59 of every hour, UTC.",
		"* 30 2 * * *":            "Every second of the minute 02:30 every day, UTC.",
		"* 30 2,3 * * *":          "Every second of the minutes 02:30 and 03:30 every day, UTC.",
		"0-10 */5 9-17 * * *":     "At seconds 0 to 10 of minutes 0 to 55 in steps of 5 of the hours 9 to 17, UTC.",
		"*/25 * * * * *":          "At seconds 0, 25 and 50 of every minute, UTC; the steps of 25 begin again with every minute.",

		// Days.
		"0 0 1 * *":          "At 00:00 on the 1st of every month, UTC.",
		"0 0 1,15,22,23 * *": "At 00:00 on the 1st, 15th, 22nd and 23rd of every month, UTC.",
		"0 0 11-13 * *":      "At 00:00 on the 11th to 13th of every month, UTC.",
		"0 0 28-3 * *":       "At 00:00 on the 28th to 3rd of every month, UTC.",
		"0 0 */2 * *":        "At 00:00 on the 1st to 31st in steps of 2 of every month, UTC; the steps of 2 begin again with every month.",
		"0 0 31 * *":         "At 00:00 on the 31st of every month, UTC; a month without such a day is passed over.",
		"0 0 29 2 *":         "At 00:00 on the 29th of February, UTC; a month without such a day is passed over.",
		"0 0 L * *":          "At 00:00 on the last day of every month, UTC.",
		"0 0 L-1 * *":        "At 00:00 on the day before the last of every month, UTC.",
		"0 0 L-3 2 *":        "At 00:00 on the 3rd day before the last of February, UTC.",
		"0 0 LW * *":         "At 00:00 on the last weekday (Monday to Friday) of every month, UTC.",
		"0 0 15W * *":        "At 00:00 on the weekday (Monday to Friday) nearest to the 15th of every month, UTC.",
		"0 0 31W * *":        "At 00:00 on the weekday (Monday to Friday) nearest to the 31st of every month, UTC; a month without such a day is passed over.",
		"0 0 1,L * *":        "At 00:00 on the 1st and the last day of every month, UTC.",
		"30 9 * * MON-FRI":   "At 09:30 on Monday to Friday, UTC.",
		"0 0 * * SAT-MON":    "At 00:00 on Saturday to Monday, UTC.",
		"0 0 * * 7":          "At 00:00 on Sunday, UTC.",
		"0 0 * * MON,WED":    "At 00:00 on Monday and Wednesday, UTC.",
		"0 0 * * */2":        "At 00:00 on Sunday, Tuesday, Thursday and Saturday, UTC; the steps of 2 begin again with every week.",
		"0 0 * * FRI#2":      "At 00:00 on the second Friday of every month, UTC.",
		"0 0 * * 1#1,5L":     "At 00:00 on the first Monday and the last Friday of every month, UTC.",
		"0 0 * * SUN#5":      "At 00:00 on the fifth Sunday of every month, UTC; a month without such a day is passed over.",

		// Months.
		"0 0 * FEB *":          "At 00:00 every day in February, UTC.",
		"* * * FEB-APR *":      "Every minute from February to April, UTC.",
		"0 0 1 1,7 *":          "At 00:00 on the 1st of January and July, UTC.",
		"0 0 1 NOV-FEB *":      "At 00:00 on the 1st of every month from November to February, UTC.",
		"0 12 * JAN,MAR-MAY *": "At 12:00 every day in January and March to May, UTC.",
		"0 0 * 3,6 5L":         "At 00:00 on the last Friday of March and June, UTC.",
		"0 0 * NOV-FEB MON":    "At 00:00 on Monday from November to February, UTC.",
		"0 0 1 */3 *":          "At 00:00 on the 1st of January, April, July and October, UTC.",
		"0 0 1 */2 *":          "At 00:00 on the 1st of every month from January to November in steps of 2, UTC.",
		"0 0 1 */5 *":          "At 00:00 on the 1st of January, June and November, UTC; the steps of 5 begin again with every year.",
		"@yearly":              "At 00:00 on the 1st of January, UTC.",

		// Both day fields.
		"0 0 1 * MON":       "At 00:00 on the 1st of every month and also on Monday (a day that matches either of the two runs), UTC.",
		"0 0 13 1,7 FRI":    "At 00:00 on the 13th of January and July and also on Friday in January and July (a day that matches either of the two runs), UTC.",
		"0 0 1-31 * MON":    "At 00:00 every day, UTC.",
		"0 0 */2 * MON":     "At 00:00 on Monday, but only if it is the 1st to 31st in steps of 2 of every month (a day has to match both), UTC; the steps of 2 begin again with every month.",
		"0 0 13 * *":        "At 00:00 on the 13th of every month, UTC.",
		"*/15 9-17 1 * MON": "Every 15 minutes from 09:00 to 17:45 on the 1st of every month and also on Monday (a day that matches either of the two runs), UTC.",
	} {
		require.Equal(t, want, eventflow.Cron(expr, time.UTC).Explain(), expr)
	}
}

func TestAnExplanationSaysWhatThePolicyDoes(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*eventflow.CronClock{
		"a time that the clock skips runs at the first instant after the gap, one that it shows twice runs the first time.": eventflow.Cron("0 3 * * *", lisbon),
		"a time that the clock skips does not run, one that it shows twice runs both times.":                                eventflow.Cron("*/5 * * * *", lisbon),
		"a time that the clock skips runs as much later as the clock jumps, one that it shows twice runs the second time.": eventflow.Cron(
			"*/5 * * * *", lisbon, eventflow.GapShift, eventflow.OverlapLast),
	} {
		require.Contains(t, c.Explain(), ", Europe/Lisbon; "+want)
	}
	for want, c := range map[string]*eventflow.CronClock{
		"At 03:00 every day, CET+01:00.":  eventflow.Cron("0 3 * * *", time.FixedZone("CET", 3600), eventflow.Wall),
		"At 03:00 every day, Asia/Tokyo.": eventflow.Cron("0 3 * * *", load("Asia/Tokyo")),
		"At 00:00 on Tuesday, but only if it is the 1st to 7th of every month (a day has to match both), UTC.": eventflow.Cron("0 0 1-7 * TUE", time.UTC, eventflow.BothDays),
	} {
		require.Equal(t, want, c.Explain())
	}
	require.Equal(t, `Never: eventflow.Cron hour: "25" is not allowed`, eventflow.Cron("0 25 * * *", time.UTC).Explain()[:47])
}

func TestCalendarStepsAreExplained(t *testing.T) {
	t.Parallel()
	months := eventflow.EveryMonths(2, time.UTC).From(2026, time.January, 31)
	for want, c := range map[string]*eventflow.CalendarClock{
		"At 00:00 every day, UTC.":                                          eventflow.EveryDays(1, time.UTC),
		"At 09:30 every 3 days, counted from 1 January 1970, UTC.":          eventflow.EveryDays(3, time.UTC).At(9, 30),
		"At 09:30 every week on Friday, UTC.":                               eventflow.EveryWeeks(1, time.UTC).From(2026, time.March, 6).At(9, 30),
		"At 00:00 every 2 weeks on Friday, counted from 6 March 2026, UTC.": eventflow.EveryWeeks(2, time.UTC).From(2026, time.March, 6),
		"At 00:00 every month on the 1st, UTC.":                             eventflow.EveryMonths(1, time.UTC),
		"At 00:00 every 2 months on the 31st, counted from 31 January 2026, UTC; in a month without such a day on its last day.": months,
		"At 00:00 every 2 months on the 31st, counted from 31 January 2026, UTC; a month without such a day is passed over.":     months.SkipShortMonths(),
		"At 00:00 every year on 31 January, UTC.":                                                 eventflow.EveryYears(1, time.UTC).From(2026, time.January, 31),
		"At 00:00 every year on 29 February, UTC; in a month without such a day on its last day.": eventflow.EveryYears(1, time.UTC).From(2024, time.February, 29),
		"At 01:30 every day, Europe/Lisbon; a time that the clock skips does not run, one that it shows twice runs both times.": eventflow.EveryDays(
			1, lisbon, eventflow.Wall).At(1, 30),
	} {
		require.Equal(t, want, c.Explain())
	}
}
