package brokertest_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Rules that fail end their goroutines too.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
