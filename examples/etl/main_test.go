package main

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

func TestFilesThatLandAreAddedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New(t, sqstest.Options{InMemory: true, Queues: map[string]sqstest.Queue{"landed": {}, "orders": {}, "dead": {}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var out bytes.Buffer
		require.NoError(t, run(ctx, server.Config(), &out))
		require.Equal(t, "ada        35\nbarbara     7\ngrace     102\n", out.String())
		for _, queue := range []string{"landed", "orders", "dead"} {
			require.Equal(t, sqstest.Stats{}, server.Stats(queue), queue)
		}
	})
}
