package sqstest_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the tests of all other servers run at once: some of their rules wait for minutes. A -parallel of the
// command line goes before it.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
