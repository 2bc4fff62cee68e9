// Package amqp is the part of AMQP 1.0 that a server needs: values, frames and the sections of a message. It shares no
// code with the client that it is tested against, so that a fault of the one shows in the other. What it reads may come
// from anybody: nesting, counts and frame sizes are bounded, and no input makes it panic.
package amqp
