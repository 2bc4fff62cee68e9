package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

const want = `ada   +200 cents
grace -100 cents
emmy  -100 cents
598 bookings of 299 transfers, which add up to 0 cents
`

func TestNoCentIsMadeOrLost(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), "", &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// A cluster without the topics is told by name what to make.
func TestClusterWithoutTheTopics(t *testing.T) {
	t.Parallel()
	empty, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	err = run(t.Context(), "kafka://"+empty.ListenAddrs()[0], new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "create the topic") {
		t.Errorf("got %v", err)
	}
}
