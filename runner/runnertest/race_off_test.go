//go:build !race

package runnertest

const raced = false
