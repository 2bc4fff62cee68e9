package runner

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestLaneThatWasFoundOutlivesASweep(t *testing.T) {
	t.Parallel()
	s := &source{lanes: map[string]*lane{}}
	a := s.newLane("a")
	require.Same(t, a, s.newLane("a"), "two new events of one lane")
	b := s.newLane("b")
	s.sweepLanes()
	s.find([]*eventflow.Delivery{{Lane: "a"}, {}, {Lane: "c"}, {Lane: "a"}, {Lane: "a"}})
	require.Equal(t, []*lane{a, nil, nil, a, a}, s.found)
	s.sweepLanes()
	require.Same(t, a, s.lanes["a"], "what was found is about to get an event")
	require.NotContains(t, s.lanes, "b")
	require.NotSame(t, b, s.newLane("b"))
	s.sweepLanes()
	require.NotContains(t, s.lanes, "a", "nobody used it since the last sweep")
}

func TestLaneIsWrittenInOneCacheLine(t *testing.T) {
	t.Parallel()
	if strconv.IntSize != 64 {
		t.Skip("it is laid out for pointers of 64 bits")
	}
	l := reflect.TypeFor[lane]()
	require.EqualValues(t, 128, l.Size())
	name, _ := l.FieldByName("name")
	require.EqualValues(t, 64, name.Offset)
}
