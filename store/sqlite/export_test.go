package sqlite

import (
	"testing"
)

// Pragma sets one on the connection that writes, so that a test can plant a fault.
func Pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	<-s.engine.turn
	defer func() { s.engine.turn <- struct{}{} }()
	if _, err := s.engine.conn.ExecContext(t.Context(), "PRAGMA "+text); err != nil {
		t.Fatal(err)
	}
}
