package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var week = filepath.Join("..", "quickstart", "earthquakes-2018-02.jsonl")

// TestMain makes the test's own program the example, when the test starts it so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DURABLE_DIR"); dir != "" {
		if err := run(context.Background(), os.Stdout, dir, week); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// growth is what the example says when the ledger has so many more lines.
var growth = regexp.MustCompile(`(?m)^ {2}\d+00 lines\n`)

func TestKilledAndStartedAgainItRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "durable")
	killed := exec.CommandContext(t.Context(), os.Args[0])
	killed.Env = append(os.Environ(), "DURABLE_DIR="+dir)
	said, err := killed.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, killed.Start())
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if lines.Text() == "  100 lines" {
			break
		}
	}
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, dir, week))
	found := regexp.MustCompile(`^1707 quakes, (\d+) of them are in the ledger.
(\d+) lines were written now, (\d+) quakes were known to be done.
The ledger has (\d+) lines for 1707 quakes.\n$`).FindStringSubmatch(growth.ReplaceAllString(out.String(), ""))
	require.NotNil(t, found, out.String())
	n := make([]int, len(found))
	for i := range found {
		n[i], _ = strconv.Atoi(found[i])
	}
	before, now, known, total := n[1], n[2], n[3], n[4]
	require.Equal(t, 1707, now+known)
	require.GreaterOrEqual(t, total, before+now)
	require.GreaterOrEqual(t, known, 92, "all that the killed process had ended")
	require.LessOrEqual(t, total, 1707+8, "no more is repeated than was live")
	require.NoDirExists(t, dir)
}

// reader calls read with what is written.
type reader func(text []byte)

func (r reader) Write(text []byte) (int, error) {
	r(text)
	return len(text), nil
}

func TestInterruptedItSaysSo(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	require.NoError(t, run(ctx, reader(func(text []byte) {
		if out.Write(text); growth.Match(text) {
			interrupt()
		}
	}), t.TempDir(), week))
	require.Contains(t, out.String(), "Interrupted: start it again.\n")
}
