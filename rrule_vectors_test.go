package eventflow_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// The vectors are python-dateutil's; testdata/rrule/make.py made them and says what a line is.
func TestRulesAgreeWithDateutil(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]int{"utc.txt": 2000, "zones.txt": 500} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", "rrule", file))
			require.NoError(t, err)
			lines := 0
			for line := range strings.Lines(string(text)) {
				lines++
				checkVector(t, strings.TrimSpace(line))
			}
			require.Equal(t, want, lines)
		})
	}
}

func checkVector(t *testing.T, line string) {
	t.Helper()
	head, rest, _ := strings.Cut(line, " | ")
	first, later, _ := strings.Cut(rest, " | ")
	words := strings.Fields(head)
	loc := load(words[1])
	c := eventflow.RRule("DTSTART:"+words[0]+" RRULE:"+words[2], loc)
	require.NoError(t, c.Err(), "%s", line)
	start, err := time.ParseInLocation("20060102T150405", words[0], loc)
	require.NoError(t, err)
	base := int64(0)
	if loc == time.UTC {
		base = start.Unix()
	}
	instant := func(word string) time.Time {
		n, err := strconv.ParseInt(word, 10, 64)
		require.NoError(t, err)
		return time.Unix(base+n, 0)
	}
	check := func(after time.Time, want []string) {
		for _, word := range want {
			got := c.Next(after)
			if word == "end" {
				require.True(t, got.IsZero(), "%s\nafter %v: %v, not the end", line, after.UTC(), got)
				return
			}
			require.Equal(t, instant(word).UTC(), got.UTC(), "%s\nafter %v", line, after.UTC())
			after = got
		}
	}
	check(start.Add(-time.Second), strings.Fields(first))
	words = strings.Fields(later)
	check(instant(words[0]), words[1:])
}
