//go:build race

package runnertest

// raced: this is the race detector's build, in which everything takes ten times as long.
const raced = true
