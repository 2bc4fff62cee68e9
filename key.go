package eventflow

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Key identifies a run for deduplication: the same event completes one run per flow and trigger. It is comparable, so
// the hot path concatenates nothing.
//
// Flow is part of it, or the second flow of one event would take the first one's run for its own; so is Redrive, or a
// redriven dead letter would be "already done".
type Key struct {
	Flow    string
	Binding string // the trigger's name
	Source  string // of the event; empty for a fire
	ID      string // of the event; of a fire its nominal time, RFC 3339 with nanoseconds, UTC
	Redrive int    // how often the event came back from a dead-letter queue
}

// FireKey is the key of a fire: flow, clock and nominal time. Replicas that compute the same fire compute the same key.
func FireKey(flow, clock string, nominal time.Time) Key {
	return Key{Flow: flow, Binding: clock, ID: nominal.UTC().Format(time.RFC3339Nano)}
}

// Nominal gives the nominal time of a fire's key, UTC, and false for an event's: one that has a Source, or an ID that is
// not written as [FireKey] writes it.
func (k Key) Nominal() (time.Time, bool) {
	if k.Source != "" {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, k.ID)
	if err != nil || t.Format(time.RFC3339Nano) != k.ID || !strings.HasSuffix(k.ID, "Z") {
		return time.Time{}, false
	}
	return t, true
}

var keyEscaper = strings.NewReplacer("%", "%25", "/", "%2F", "#", "%23")

// String gives "flow/trigger/source/id", with "#n" behind it after n redrives; of a fire "flow/clock@nominal". It is
// unique: inside a part, the characters %, / and # are percent-encoded.
func (k Key) String() string {
	esc := keyEscaper.Replace
	s := esc(k.Flow) + "/" + esc(k.Binding)
	if _, ok := k.Nominal(); ok {
		s += "@" + k.ID
	} else {
		s += "/" + esc(k.Source) + "/" + esc(k.ID)
	}
	if k.Redrive != 0 {
		s += "#" + strconv.Itoa(k.Redrive)
	}
	return s
}

// digest is a fixed-size name of the key, and of the further events of a batch: result IDs derive from it, so they stay
// short in a chain of flows and fit every broker (Service Bus takes 128 characters).
func (k Key) digest(more []*Event) [32]byte {
	var buf [256]byte
	b := buf[:0]
	for _, s := range [...]string{k.Flow, k.Binding, k.Source, k.ID} {
		b = appendPart(b, s)
	}
	b = binary.AppendVarint(b, int64(k.Redrive))
	for _, ev := range more {
		b = appendPart(appendPart(b, ev.Source), ev.ID)
	}
	sum := sha256.Sum256(b)
	var name [32]byte
	hex.Encode(name[:], sum[:16])
	return name
}

// appendPart writes the length first, so that no two lists of parts give the same bytes.
func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
