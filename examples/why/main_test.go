package main

import (
	"bytes"
	"testing"
	"testing/synctest"
)

func TestEachOrderHasItsReason(t *testing.T) {
	t.Parallel()
	const want = `Why was it not shipped?

  o-1   it was, at the first attempt, if it ever came
  o-2   duplicate: succeeded
  o-3   expired: max age
  o-4   skipped: filter
  o-5   attempt 1, dead-lettered: decode (*json.SyntaxError)
  o-6   attempt 1, dead-lettered: permanent (*errors.errorString)
  o-7   attempt 1, held: retry (*errors.errorString); attempt 2, dead-lettered: exhausted (*errors.errorString)
  o-8   attempt 1, skipped: to be collected
  o-9   attempt 1, held: busy (*eventflow.BusyError); held: waiting
  o-10  held: waiting
  o-11  it was, at the first attempt, if it ever came

And why is there one list of the day only?

  list  skipped: overlap

After the shutdown

  o-10  handed back: shutdown
`
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("it prints\n%s\nnot\n%s", got, want)
		}
	})
}
