package cron_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

func TestEqualExpressionsHaveOneText(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"0 3 * * *":                        "0 3 * * *",
		"  0\t03  *   * * ":                "0 3 * * *",
		"@hourly":                          "0 * * * *",
		"@daily":                           "0 0 * * *",
		"@Midnight":                        "0 0 * * *",
		"@weekly":                          "0 0 * * 0",
		"@monthly":                         "0 0 1 * *",
		"@yearly":                          "0 0 1 1 *",
		"@ANNUALLY":                        "0 0 1 1 *",
		"0 0 * jan,Dec mon-FRI":            "0 0 * 1,12 1-5",
		"0 0 * * 7":                        "0 0 * * 0",
		"0 0 * * 5-7":                      "0 0 * * 0,5,6",
		"0 0 * * FRI-MON":                  "0 0 * * 0,1,5,6",
		"0 0 * * 0-7":                      "0 0 * * 0-6",
		"0 0 * * 7-2":                      "0 0 * * 0-2",
		"0 0 * * 7/2":                      "0 0 * * 0,2,4,6",
		"0 0 * NOV-FEB *":                  "0 0 * 1,2,11,12 *",
		"0 0 28-3 * *":                     "0 0 1-3,28-31 * *",
		"0 22-2 * * *":                     "0 0-2,22,23 * * *",
		"0 22-3/2 * * *":                   "0 0,2,22 * * *",
		"*/15 * * * *":                     "*/15 * * * *",
		"*/1 * * * *":                      "* * * * *",
		"*/60 * * * *":                     "*/60 * * * *", // a wildcard job still
		"10-50/20 * * * *":                 "10,30,50 * * * *",
		"5/15 * * * *":                     "5,20,35,50 * * * *",
		"1-59/2 * * * *":                   "1-59/2 * * * *",
		"0-59 * * * *":                     "0-59 * * * *", // no wildcard, unlike *
		"5,3,4,3 * * * *":                  "3-5 * * * *",
		"*,7 * * * *":                      "* * * * *",
		"*/20,7 * * * *":                   "*/20,7 * * * *",
		"7,*/20 * * * *":                   "0,7,20,40 * * * *",
		"*/40,20 * * * *":                  "*/20 * * * *",
		"0 0 1,15 * MON":                   "0 0 1,15 * 1",
		"0 0 30 2 SUN":                     "0 0 30 2 0", // Sundays in February exist
		"0 0 31 * *":                       "0 0 31 * *",
		"0 0 29 FEB *":                     "0 0 29 2 *",
		"0 0 */2 * 1":                      "0 0 */2 * 1",
		"3,1,9,4,27,28,29,30,59 2,1 * * *": "1,3,4,9,27-30,59 1,2 * * *",
	} {
		s := mustParse(t, expr)
		require.Equal(t, want, s.String(), expr)
		again := mustParse(t, want)
		require.Equal(t, s, again, "%s reads back", want)
	}
}

func TestAFaultNamesItsFieldItsValueAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	const minute, hour, dom, month, dow = "minute", "hour", "day of month", "month", "day of week"
	for expr, want := range map[string]cron.Fault{
		"60 0 * * *":          {Field: minute, Value: "60", Allowed: "0 to 59"},
		"-1 0 * * *":          {Field: minute, Value: "-1", Allowed: "0 to 59"},
		"+1 0 * * *":          {Field: minute, Value: "+1", Allowed: "0 to 59"},
		"1.5 0 * * *":         {Field: minute, Value: "1.5", Allowed: "0 to 59"},
		"MON 0 * * *":         {Field: minute, Value: "MON", Allowed: "0 to 59"},
		"99999999999 * * * *": {Field: minute, Value: "99999999999", Allowed: "0 to 59"},
		"0 24 * * *":          {Field: hour, Value: "24", Allowed: "0 to 23"},
		"0 9-25 * * *":        {Field: hour, Value: "9-25", Allowed: "0 to 23"},
		"0 0 0 * *":           {Field: dom, Value: "0", Allowed: "1 to 31"},
		"0 0 32 * *":          {Field: dom, Value: "32", Allowed: "1 to 31"},
		"0 0 L * *":           {Field: dom, Value: "L", Allowed: "1 to 31"},
		"0 0 ? * *":           {Field: dom, Value: "?", Allowed: "1 to 31"},
		"0 0 * 0 *":           {Field: month, Value: "0", Allowed: "1 to 12, or JAN to DEC"},
		"0 0 * 13 *":          {Field: month, Value: "13", Allowed: "1 to 12, or JAN to DEC"},
		"0 0 * JANUARY *":     {Field: month, Value: "JANUARY", Allowed: "JAN to DEC"},
		"0 0 * MON *":         {Field: month, Value: "MON", Allowed: "JAN to DEC"},
		"0 0 * * 8":           {Field: dow, Value: "8", Allowed: "0 to 7 (0 and 7 are Sunday), or SUN to SAT"},
		"0 0 * * FUN":         {Field: dow, Value: "FUN", Allowed: "SUN to SAT"},
		"*/70 * * * *":        {Field: minute, Value: "*/70", Allowed: "a step of 1 to 60"},
		"*/0 * * * *":         {Field: minute, Value: "*/0", Allowed: "a step of 1 to 60"},
		"*/ * * * *":          {Field: minute, Value: "*/", Allowed: "a step of 1 to 60"},
		"*/5/5 * * * *":       {Field: minute, Value: "*/5/5", Allowed: "a step of 1 to 60"},
		"10-20/12 * * * *":    {Field: minute, Value: "10-20/12", Allowed: "a step of 1 to 11"},
		"50/20 * * * *":       {Field: minute, Value: "50/20", Allowed: "a step of 1 to 10"},
		"0 */25 * * *":        {Field: hour, Value: "*/25", Allowed: "a step of 1 to 24"},
		"0 0 * * 0-7/8":       {Field: dow, Value: "0-7/8", Allowed: "a step of 1 to 7"},
		"1-2-3 * * * *":       {Field: minute, Value: "1-2-3", Allowed: "a range"},
		"1- * * * *":          {Field: minute, Value: "1-", Allowed: "a range"},
		"*-5 * * * *":         {Field: minute, Value: "*-5", Allowed: "a range"},
		"** * * * *":          {Field: minute, Value: "**", Allowed: "0 to 59"},
		"1,,2 * * * *":        {Field: minute, Value: "1,,2", Allowed: "single commas"},
		", * * * *":           {Field: minute, Value: ",", Allowed: "single commas"},
		"0 0 30 2 *":          {Field: dom, Value: "30", Allowed: "a day that one of the months 2 has"},
		"0 0 31 4,6,SEP *":    {Field: dom, Value: "31", Allowed: "a day that one of the months 4,6,SEP has"},
		"0 0 30-31 FEB */2":   {Field: dom, Value: "30-31", Allowed: "FEB"},
		"":                    {Value: "", Allowed: "this has 0 fields"},
		"0 0 * *":             {Value: "0 0 * *", Allowed: "this has 4 fields"},
		"0 0 0 * * *":         {Value: "0 0 0 * * *", Allowed: "five fields"},
		"@fortnightly":        {Value: "@fortnightly", Allowed: "@weekly"},
		"@every 5m":           {Value: "@every 5m", Allowed: "eventflow.Every"},
	} {
		spec, faults := cron.Parse(expr)
		require.Len(t, faults, 1, expr)
		require.Equal(t, want.Field, faults[0].Field, expr)
		require.Equal(t, want.Value, faults[0].Value, expr)
		require.Contains(t, faults[0].Allowed, want.Allowed, expr)
		require.True(t, spec.Next(time.Now(), time.UTC).IsZero(), "%s: nothing fires", expr)
	}
}

func TestEveryFaultIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	_, faults := cron.Parse("60 24 0 13 8")
	require.Len(t, faults, 5)
}

func TestAnEndlessExpressionIsNotRead(t *testing.T) {
	t.Parallel()
	_, faults := cron.Parse("0 0 * * " + strings.Repeat("1,", 1000) + "1")
	require.Len(t, faults, 1)
	require.Less(t, len(faults[0].Value), 50)
	require.Contains(t, faults[0].Allowed, "at most 1024 bytes")
}

func TestAZoneIsCutOffTheFront(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][2]string{
		"TZ=Europe/Lisbon 0 3 * * *":  {"Europe/Lisbon", "0 3 * * *"},
		"CRON_TZ=Asia/Tokyo\t@daily":  {"Asia/Tokyo", "@daily"},
		"  CRON_TZ=UTC   0 3 * * *  ": {"UTC", "0 3 * * *"},
		"TZ= 0 3 * * *":               {"", "0 3 * * *"},
		"TZ=UTC":                      {"UTC", ""},
	} {
		zone, rest, found := cron.CutZone(expr)
		require.True(t, found, expr)
		require.Equal(t, want, [2]string{zone, rest}, expr)
	}
	_, rest, found := cron.CutZone("0 3 * * *")
	require.False(t, found)
	require.Equal(t, "0 3 * * *", rest)
}

func TestAWildcardJobIsOneWhoseMinuteOrHourBeginsWithAStar(t *testing.T) {
	t.Parallel()
	// The clock of New York shows 01:00 to 01:59 twice on 4 November 2018, and a wildcard job runs both times.
	loc := mustLoad(t, "America/New_York")
	from, to := time.Date(2018, 11, 4, 4, 0, 0, 0, time.UTC), time.Date(2018, 11, 4, 8, 0, 0, 0, time.UTC)
	for expr, want := range map[string]int{
		"30 1 * * *":    1,
		"0-59 1 * * *":  60,
		"30 0-23 * * *": 3, // 00:30, 01:30, 02:30
		"30 * * * *":    4,
		"*/30 1 * * *":  4,
		"*,30 1 * * *":  120,
		"30,* 1 * * *":  60,
		"0 */1 * * *":   4,
		"*/60 1 * * *":  2,
	} {
		s, n := mustParse(t, expr), 0
		for at := s.Next(from.Add(-1), loc); at.Before(to); at = s.Next(at, loc) {
			n++
		}
		require.Equal(t, want, n, expr)
	}
}

func FuzzParse(f *testing.F) {
	for _, expr := range oracleExprs {
		f.Add(expr, int64(1541307600))
	}
	for _, expr := range []string{"@daily", "TZ=UTC * * * * *", "*/70 * * * *", "0 0 30 2 *", "1-,2/ 0 L W #", "0 0 29 2 7-7/1", "\x00 \xff * * *"} {
		f.Add(expr, int64(4133980799))
	}
	loc := mustLoad(f, "America/Santiago")
	f.Fuzz(func(t *testing.T, expr string, sec int64) {
		_, rest, _ := cron.CutZone(expr)
		s, faults := cron.Parse(rest)
		if faults != nil {
			for _, fault := range faults {
				if fault.Allowed == "" {
					t.Fatalf("%q: a fault that does not say what is allowed", expr)
				}
			}
			return
		}
		text := s.String()
		again, faults := cron.Parse(text)
		if faults != nil || again != s {
			t.Fatalf("%q is written %q, which reads as %v, %v", expr, text, again, faults)
		}
		after := time.Unix(sec%(1<<38), 0)
		next := s.Next(after, loc)
		if next.IsZero() {
			if after.Year() < 9990 {
				t.Fatalf("%q has no fire after %v", expr, after)
			}
			return
		}
		if !next.After(after) {
			t.Fatalf("%q: Next(%v) is %v", expr, after, next)
		}
		for _, inside := range []time.Time{next.Add(-1), after.Add(next.Sub(after) / 3)} {
			if got := s.Next(inside, loc); got != next {
				t.Fatalf("%q: Next(%v) is %v, but Next(%v) is %v", expr, after, next, inside, got)
			}
		}
	})
}
