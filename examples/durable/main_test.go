package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

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

func TestKilledAndStartedAgainItRepeatsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "durable")
	killed := exec.CommandContext(t.Context(), os.Args[0])
	killed.Env = append(os.Environ(), "DURABLE_DIR="+dir)
	require.NoError(t, killed.Start())
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "ledger"))
		return bytes.Count(text, []byte("\n")) >= 100
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, dir, week))
	found := regexp.MustCompile(`^1707 quakes, (\d+) of them are in the ledger.
(\d+) lines were written now, (\d+) quakes were known to be done.
The ledger has (\d+) lines for 1707 quakes.\n$`).FindStringSubmatch(out.String())
	require.NotNil(t, found, out.String())
	n := make([]int, len(found))
	for i := range found {
		n[i], _ = strconv.Atoi(found[i])
	}
	before, now, known, lines := n[1], n[2], n[3], n[4]
	require.Equal(t, 1707, now+known)
	require.Equal(t, before+now, lines)
	require.GreaterOrEqual(t, known, 92, "all that the killed process had ended")
	require.LessOrEqual(t, lines, 1707+8, "no more is repeated than was live")
	require.NoDirExists(t, dir)
}

func TestInterruptedItSaysSo(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	dir := t.TempDir()
	watching := make(chan struct{})
	go func() { // until it has written something
		defer close(watching)
		for ctx.Err() == nil {
			if text, _ := os.ReadFile(filepath.Join(dir, "ledger")); len(text) > 0 {
				interrupt()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, dir, week))
	<-watching
	require.Contains(t, out.String(), "Interrupted: start it again.\n")
}
