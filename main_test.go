package eventflow_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The root starts no goroutine: a test that leaves one behind is wrong about that.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
