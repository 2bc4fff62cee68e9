package kafka_test

import (
	"flag"
	"testing"
)

// TestMain lets more tests run at once than there are processors: most of what they do is to wait for a session to end. A
// -parallel of the command line goes before it, and fuzzing has one worker for each processor.
func TestMain(m *testing.M) {
	flag.Parse()
	said := flag.Lookup("test.fuzz").Value.String() != ""
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", "24"); err != nil {
			panic(err)
		}
	}
	m.Run()
}
