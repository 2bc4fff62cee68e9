//go:build unix

package runner_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkIdleClocks gives what 100,000 idle clocks of one runner cost: memory each, and the share of one core in a
// second in which nothing happens. It is the whole process's, so run it alone.
func BenchmarkIdleClocks(b *testing.B) {
	_, bytes := idle(b)
	var shares []float64
	for b.Loop() {
		before := cpuTime(b)
		time.Sleep(time.Second)
		shares = append(shares, 100*(cpuTime(b)-before).Seconds())
	}
	b.ReportMetric(bytes, "B/clock")
	b.ReportMetric(median(shares), "%core")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
