package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/eventflow-go/eventflow/store"
)

// The URL comes from a configuration; the program says which kinds of stores it knows.
func ExampleOpen() {
	known := store.Scheme{Names: []string{"sqlite"}, Open: func(context.Context, *url.URL) (store.Store, error) {
		return nil, errors.New("no disk")
	}}
	_, err := store.Open(context.Background(), "sqlite:///var/lib/eventflow.db", known)
	fmt.Println(err)
	_, err = store.Open(context.Background(), "postgres://user:secret@example.com", known)
	fmt.Println(err)
	// Output:
	// no disk
	// store.Open URL: "postgres" is not allowed: one of the schemes given: sqlite
}
