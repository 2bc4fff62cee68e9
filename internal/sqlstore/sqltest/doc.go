// Package sqltest is what the tests of the stores on SQL databases have in common: their benchmarks with the yardsticks, and
// programs that are killed while they work.
package sqltest
