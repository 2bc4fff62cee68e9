package cron_test

import (
	"slices"
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
		"0 0 3 * * *":                      "0 3 * * *",
		"00 0 3 * * *":                     "0 3 * * *",
		"30 0 3 * * *":                     "30 0 3 * * *",
		"*/10 * * * * *":                   "*/10 * * * * *",
		"*/60 0 3 * * *":                   "*/60 0 3 * * *", // a wildcard job
		"0 0 l * *":                        "0 0 L * *",
		"0 0 L-3,lw,15w,1W,L,2 * *":        "0 0 2,1W,15W,LW,L,L-3 * *",
		"0 0 l-30 1 *":                     "0 0 L-30 1 *",
		"0 0 31W * *":                      "0 0 31W * *",
		"0 0 * * FRI#2,5#1,sun#5,7#4,MON":  "0 0 * * 1,5#1,5#2,0#4,0#5",
		"0 0 * * FRIL,7L,3l":               "0 0 * * 0L,3L,5L",
		"0 0 * * 6#5,6L,6":                 "0 0 * * 6,6#5,6L",
		"0 0 *,L * *,5L":                   "0 0 *,L * *,5L",
		"0 0 */2,L * *":                    "0 0 */2,L * *",
		"0 0 L-27,L 2 0#5,0L":              "0 0 L,L-27 2 0#5,0L",
	} {
		s := mustParse(t, expr)
		require.Equal(t, want, s.String(), expr)
		again := mustParse(t, want)
		require.Equal(t, s, again, "%s reads back", want)
	}
}

func TestAFaultNamesItsFieldItsValueAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	const second, minute, hour, dom, month, dow = "second", "minute", "hour", "day of month", "month", "day of week"
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
		"0 0 0 0 * * *":       {Value: "0 0 0 0 * * *", Allowed: "five fields"},
		"61 0 3 * * *":        {Field: second, Value: "61", Allowed: "0 to 59"},
		"60 0 3 * * *":        {Field: second, Value: "60", Allowed: "0 to 59"},
		"*/70 * * * * *":      {Field: second, Value: "*/70", Allowed: "a step of 1 to 60"},
		"L * * * *":           {Field: minute, Value: "L", Allowed: "0 to 59"},
		"0 L * * *":           {Field: hour, Value: "L", Allowed: "0 to 23"},
		"0 3W * * *":          {Field: hour, Value: "3W", Allowed: "0 to 23"},
		"0 0 * L *":           {Field: month, Value: "L", Allowed: "1 to 12, or JAN to DEC"},
		"0 0 * 1#2 *":         {Field: month, Value: "1#2", Allowed: "1 to 12, or JAN to DEC"},
		"0 0 * * L":           {Field: dow, Value: "L", Allowed: "5L is the last Friday"},
		"0 0 * * 8L":          {Field: dow, Value: "8L", Allowed: "L behind one of 0 to 7"},
		"0 0 * * FUNL":        {Field: dow, Value: "FUNL", Allowed: "SUN to SAT"},
		"0 0 * * W":           {Field: dow, Value: "W", Allowed: "0 to 7"},
		"0 0 * * 5#6":         {Field: dow, Value: "5#6", Allowed: "#1 to #5"},
		"0 0 * * 5#0":         {Field: dow, Value: "5#0", Allowed: "#1 to #5"},
		"0 0 * * 5#":          {Field: dow, Value: "5#", Allowed: "#1 to #5"},
		"0 0 * * #2":          {Field: dow, Value: "#2", Allowed: "#1 to #5"},
		"0 0 * * 9#2":         {Field: dow, Value: "9#2", Allowed: "0 to 7"},
		"0 0 * * MON-FRI#2":   {Field: dow, Value: "MON-FRI#2", Allowed: "FRI#2 is the second Friday"},
		"0 0 5#2 * *":         {Field: dom, Value: "5#2", Allowed: "1 to 31"},
		"0 0 5L * *":          {Field: dom, Value: "5L", Allowed: "L (the last day)"},
		"0 0 L-0 * *":         {Field: dom, Value: "L-0", Allowed: "L-1 to L-30"},
		"0 0 L-31 * *":        {Field: dom, Value: "L-31", Allowed: "L-1 to L-30"},
		"0 0 L- * *":          {Field: dom, Value: "L-", Allowed: "L-1 to L-30"},
		"0 0 L-3W * *":        {Field: dom, Value: "L-3W", Allowed: "L-1 to L-30"},
		"0 0 L/2 * *":         {Field: dom, Value: "L/2", Allowed: "L (the last day)"},
		"0 0 1-5W * *":        {Field: dom, Value: "1-5W", Allowed: "1W to 31W"},
		"0 0 0W * *":          {Field: dom, Value: "0W", Allowed: "1W to 31W"},
		"0 0 32W * *":         {Field: dom, Value: "32W", Allowed: "1W to 31W"},
		"0 0 W * *":           {Field: dom, Value: "W", Allowed: "1W to 31W"},
		"0 0 31W APR *":       {Field: dom, Value: "31W", Allowed: "a day that one of the months APR has"},
		"0 0 L-29 2 *":        {Field: dom, Value: "L-29", Allowed: "a day that one of the months 2 has"},
		"0 0 30W 2 *":         {Field: dom, Value: "30W", Allowed: "a day that one of the months 2 has"},
		"@fortnightly":        {Value: "@fortnightly", Allowed: "@weekly"},
		"@every 5m":           {Value: "@every 5m", Allowed: "eventflow.Every"},
	} {
		spec, faults := cron.Parse(expr, false)
		require.Len(t, faults, 1, expr)
		require.Equal(t, want.Field, faults[0].Field, expr)
		require.Equal(t, want.Value, faults[0].Value, expr)
		require.Contains(t, faults[0].Allowed, want.Allowed, expr)
		require.True(t, spec.Next(time.Now(), time.UTC, cron.DST{}).IsZero(), "%s: nothing fires", expr)
	}
}

func TestAFaultSaysWhereItStands(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]int{
		"60 0 * * *": 0, "  0   24 * * *": 6, "0 0 1,2,40 * *": 8, "0 0 * * MON,,FRI": 12, "0 61 0 L * *": 2, "0 0 1 1 5#9": 8,
		"0 0 \t30 2 *": 5, "@fortnightly": 0,
	} {
		_, faults := cron.Parse(expr, false)
		require.Len(t, faults, 1, expr)
		require.Equal(t, want, faults[0].At, expr)
	}
}

func TestBothDaysMustBePossibleTogether(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		"0 0 1-7 * TUE": true, "0 0 29 2 MON#5": true, "0 0 1-7 * TUE#2": false, "0 0 1 * 5L": false, "0 0 L * 5#4": true, "0 0 15W * SUN": false, "0 0 30 2 *": false,
		"0 0 L-28 2 0#5": false, "0 0 29 2 0#4": false,
	} {
		s, faults := cron.Parse(expr, true)
		require.Equal(t, want, faults == nil, expr)
		if want {
			require.True(t, s.BothDays(), expr)
			require.False(t, s.Next(year(2026), time.UTC, cron.DST{}).IsZero(), expr)
		} else {
			require.Equal(t, "day of month", faults[0].Field)
		}
		either, faults := cron.Parse(expr, false)
		require.Equal(t, expr == "0 0 30 2 *", faults != nil, expr)
		require.False(t, faults == nil && either.BothDays(), expr)
	}
	s, faults := cron.Parse("0 0 * * TUE", true)
	require.Empty(t, faults)
	require.False(t, s.BothDays(), "it makes no difference")
}

func TestEveryFaultIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	_, faults := cron.Parse("60 24 0 13 8", false)
	require.Len(t, faults, 5)
}

func TestAnEndlessExpressionIsNotRead(t *testing.T) {
	t.Parallel()
	_, faults := cron.Parse("0 0 * * "+strings.Repeat("1,", 1000)+"1", false)
	require.Len(t, faults, 1)
	require.Less(t, len(faults[0].Value), 50)
	require.Contains(t, faults[0].Allowed, "at most 1024 bytes")
}

func TestAZoneIsCutOffTheFront(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][2]string{
		"TZ=Europe/Lisbon 0 3 * * *":  {"Europe/Lisbon", " 0 3 * * *"},
		"CRON_TZ=Asia/Tokyo\t@daily":  {"Asia/Tokyo", "\t@daily"},
		"  CRON_TZ=UTC   0 3 * * *  ": {"UTC", "   0 3 * * *  "},
		"TZ= 0 3 * * *":               {"", " 0 3 * * *"},
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
		for at := s.Next(from.Add(-1), loc, cron.DST{}); at.Before(to); at = s.Next(at, loc, cron.DST{}) {
			n++
		}
		require.Equal(t, want, n, expr)
	}
}

// Chile puts its clocks forward at the midnight before the first Sunday of September after the 1st: when 2 September is a
// Sunday, it has no midnight, every time.
func TestATimeThatTheClockAlwaysSkipsEndsOrMovesAsThePolicySays(t *testing.T) {
	t.Parallel()
	s, faults := cron.Parse("0 0 2 9 0", true)
	require.Nil(t, faults)
	loc, after := mustLoad(t, "America/Santiago"), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &counted{Readings: &s}
	require.True(t, cron.Next(c, cron.DST{Gap: cron.GapSkip}, after, loc).IsZero())
	require.Less(t, c.asked, lostAsked*(10_000-2026), "the search ends with the year 9999")
	require.Equal(t, "2029-09-02T01:00:00-03:00", s.Next(after, loc, cron.DST{Gap: cron.GapAfter}).Format(time.RFC3339))
}

// counted counts how often a set of readings is asked. It is the bound on the engine's work that the fuzz targets hold
// to: one answer is at most a step for each month until the next match, and each question costs a look or two at the zone.
type counted struct {
	cron.Readings
	asked int
}

func (c *counted) Reading(w int64) (int64, bool) {
	c.asked++
	return c.Readings.Reading(w)
}

const (
	// mostAsked is more than the periods of a zone that lie within two days of an instant, twice.
	mostAsked = 8
	// lostAsked is how often a reading is asked for in each year in which the only match is one that the clock skips.
	lostAsked = 2
)

func FuzzParse(f *testing.F) {
	for i, expr := range slices.Concat(oracleExprs, oracleSeconds) {
		f.Add(expr, i%2 == 0, int64(1541307600), uint8(i))
	}
	for i, expr := range []string{"@daily", "TZ=UTC * * * * *", "*/70 * * * *", "0 0 30 2 *", "1-,2/ 0 L W #", "0 0 29 2 7-7/1", "\x00 \xff * * *", "0 0 L-28 2 0#5"} {
		f.Add(expr, i%2 == 1, int64(4133980799), uint8(i))
	}
	locs := []*time.Location{mustLoad(f, "America/Santiago"), mustLoad(f, "Pacific/Apia"), mustLoad(f, "Africa/Casablanca"), time.UTC}
	f.Fuzz(func(t *testing.T, expr string, both bool, sec int64, choice uint8) {
		_, rest, _ := cron.CutZone(expr)
		s, faults := cron.Parse(rest, both)
		if faults != nil {
			for _, fault := range faults {
				if fault.Allowed == "" || fault.At < 0 || fault.At > len(rest) {
					t.Fatalf("%q: a fault that does not say what is allowed, and where: %+v", expr, fault)
				}
			}
			return
		}
		text := s.String()
		again, faults := cron.Parse(text, s.BothDays())
		if faults != nil || again.String() != text || again.BothDays() != s.BothDays() {
			t.Fatalf("%q is written %q, which reads as %v, %v", expr, text, again, faults)
		}
		if s.Words() != again.Words() {
			t.Fatalf("%q is explained as %q and as %q", expr, s.Words(), again.Words())
		}
		loc, d := locs[choice%4], pairs()[choice>>4].For(s.Wildcard())
		after := time.Unix(sec%(1<<38), 0)
		c := &counted{Readings: &s}
		next := cron.Next(c, d, after, loc)
		until := next
		if next.IsZero() {
			until = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		}
		if most := mostAsked + lostAsked*max(until.Year()-after.Year(), 0); c.asked > most {
			t.Fatalf("%q: Next(%v) asked for %d readings, and %v is %d", expr, after, c.asked, until, most)
		}
		if next.IsZero() {
			// All its readings may be such as the clock skips: 2 September is a Sunday, and Santiago has no midnight then.
			if d.Gap = cron.GapShift; after.Year() < 9900 && s.Next(after, loc, d).IsZero() {
				t.Fatalf("%q has no fire after %v", expr, after)
			}
			return
		}
		if !next.After(after) {
			t.Fatalf("%q: Next(%v) is %v", expr, after, next)
		}
		for _, inside := range []time.Time{next.Add(-1), after.Add(next.Sub(after) / 3)} {
			if got := s.Next(inside, loc, d); got != next {
				t.Fatalf("%q: Next(%v) is %v, but Next(%v) is %v", expr, after, next, inside, got)
			}
		}
	})
}
