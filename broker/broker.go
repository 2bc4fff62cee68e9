// Package broker holds the in-memory broker and the opening of a broker by URL.
//
// [Memory] is a whole broker in process: topics, consumer groups, lanes by Event.Key, delays, attempts, leases, dead
// letters and their redrive, bounded memory that slows its publishers down. It serves flows that live in one process,
// and unit tests of flows that will run on another broker: what it promises is what package brokertest asks of every
// broker. Nothing of it outlives its process.
//
//	mem := broker.NewMemory()
//	r, err := runner.New(thumbnail,
//		runner.On(mem.Subscriber("uploads")),
//		runner.PublishTo(mem.Publisher("thumbs")),
//	)
//
// # Topics and groups
//
// A topic exists once it is named, unless the broker declares its topics ([Declare]). Each group of consumers
// ([eventflow.Group]) sees every event, the consumers of one group compete. A group is made when its first subscriber
// is opened and stays when its last one is closed. What is published before a topic has a group is kept for the first
// one; a later group sees what is published from then on.
//
// A group holds at most [Capacity] events that are not settled, and [CapacityBytes]. Publish waits while any group of
// the topic is full, or fails, if the broker was told so ([FailWhenFull]). A group whose consumers have all gone fills
// up too.
//
// # Order
//
// Events of one Key are a lane: they are handed over in the order of their publishing, to one consumer at a time. One
// that is given back comes before those that follow it; while it is delayed its lane waits, and the others go on.
// Events without a Key have no order that could be relied on.
//
// # Locks
//
// A subscriber in the same process cannot lose touch, so its locks are renewed by being held, without a timer or a
// goroutine. A lock lapses when its delivery is abandoned, when its consumer dies ([Memory.Crash]), and when a test
// says so ([Memory.Inject]).
//
// # Tests
//
// [Memory.WaitSettled] waits until a flow has dealt with everything, [Memory.DeadLetters] and [Memory.Redrive] show and
// repeat what failed, [Memory.Stats] says where everything is, and [Memory.Inject] plants the faults of real brokers.
// All of it works inside a testing/synctest bubble, whether the broker was made inside or outside.
package broker

import (
	"context"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/scheme"
)

// Open opens a broker by URL with one of the schemes given, which are values such as [Scheme]: nothing registers
// itself, so a program knows only the brokers that it names. A URL that cannot be read, or whose scheme is none of
// theirs, is a *eventflow.ConfigError, which lists the schemes and never shows the URL.
func Open(ctx context.Context, rawURL string, schemes ...eventflow.Scheme) (eventflow.Broker, error) {
	u, err := scheme.Parse(urlField, rawURL)
	if err != nil {
		return nil, err
	}
	s, err := scheme.Pick(urlField, u, schemes, func(s eventflow.Scheme) []string { return s.Names })
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, u)
}

const urlField = "broker.Open URL"
