package eventflow_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestAttributesAreOrderedAndMayRepeat(t *testing.T) {
	t.Parallel()
	as := eventflow.Attributes{{Name: "a", Value: "1"}, {Name: "b", Value: []byte("2")}, {Name: "a", Value: int32(3)}}

	v, ok := as.Get("a")
	require.True(t, ok)
	require.Equal(t, "1", v, "the first of a name")
	require.Equal(t, "2", as.String("b"), "bytes read as a string")
	_, ok = as.Get("c")
	require.False(t, ok)
	require.Empty(t, as.String("c"))

	require.Equal(t, eventflow.Attributes{{Name: "b", Value: []byte("2")}}, as.Without("a", "z"))
	require.Len(t, as, 3, "Without leaves its receiver alone")
}
