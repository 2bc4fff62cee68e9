package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store/postgres"
)

// What is wrong with the options is told at once, and before the server is asked.
func ExampleOpen() {
	_, err := postgres.Open(context.Background(), "postgres://runners@db.example.com/events",
		postgres.Schema("Runs"), postgres.Window(0), postgres.Timeout(0))
	fmt.Println(err)
	fmt.Println(errors.Is(err, eventflow.ErrFatal))
	// Output:
	// postgres.Schema: "Runs" is not allowed: 1 to 63 lower-case letters, digits and _, no digit first, not pg_…
	// postgres.Window: "0s" is not allowed: a duration above zero
	// postgres.Timeout: "0s" is not allowed: a millisecond or more
	// true
}

// A server that is not there is waited for, as long as the context says.
func ExampleOpen_away() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := postgres.Open(ctx, "postgres://runners@127.0.0.1:1/events")
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, eventflow.ErrFatal))
	// Output: true false
}
