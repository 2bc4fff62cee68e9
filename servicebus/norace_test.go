//go:build !race

package servicebus_test

const raced = false
