package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

const want = `129 quakes published
39 alerts, the strongest:
  M 6.4  6 Feb 15:50  22km NNE of Hualian, Taiwan
  M 6.1  31 Jan 07:07  35km S of Jarm, Afghanistan
  M 6.1  4 Feb 13:56  21km NNE of Hualian, Taiwan
1 dead letters
  event cut-off: decode, in flow rate 1.0
lag of eventflow-example-quakes: 0
lag of eventflow-example-alerts: 0
lag of eventflow-example-quakes.dlq: 0
`

func TestQuakesBecomeAlerts(t *testing.T) {
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
