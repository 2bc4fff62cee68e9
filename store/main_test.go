package store_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A memory store starts no goroutine.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
