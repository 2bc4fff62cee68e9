package store

import (
	"context"

	"github.com/eventflow-go/eventflow/internal/scheme"
)

// Open opens a store by URL with one of the schemes given, which are values such as sqlite.Scheme: nothing registers
// itself, so a program knows only the stores that it names. A URL that cannot be read, or whose scheme is none of
// theirs, is a *eventflow.ConfigError, which lists the schemes and never shows the URL.
func Open(ctx context.Context, rawURL string, schemes ...Scheme) (Store, error) {
	u, err := scheme.Parse("store.Open URL", rawURL)
	if err != nil {
		return nil, err
	}
	s, err := scheme.Pick("store.Open URL", u, schemes, func(s Scheme) []string { return s.Names })
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, u)
}
