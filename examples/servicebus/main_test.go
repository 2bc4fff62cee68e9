package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUploadsBecomeThumbsAndDeadLetters(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, ""))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	require.Equal(t, []string{`{"Name":"small-cat.png"}`, `{"Name":"small-dog.png"}`, `{"Name":"void.png","Bytes":0} permanent`}, lines)
}
