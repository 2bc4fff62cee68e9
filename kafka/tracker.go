package kafka

import (
	"math"
	"math/bits"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// A tracker knows of each record that a partition has given whether it is settled, and so which offset may be committed:
// the one below which everything is. Contiguity is over the records that came, not over offsets, since compaction and
// transactions leave gaps. Records are named by their sequence number, from 1, which never repeats in one assignment.
type tracker struct {
	ring []entry  // a power of two
	bits []uint64 // of the ring: those that are settled
	head uint64   // the first that is in it, and not settled unless the ring is empty
	n    int

	prefix   int64 // all below it is settled
	epoch    int32 // the leader's, of the record before prefix; -1: unknown
	position int64 // behind the last record that came
	past     []span
	failed   []attempts // of what has not come yet, as past: from an earlier consumer's commit, in order

	spans []span // of progress, to be used again

	counted  int    // entries that have attempts, or whose run is under way one at a time
	lastDone uint64 // the last that was settled out of order
	handed   uint64 // the last that was ever handed over
}

// entry is one record that is not behind the prefix.
type entry struct {
	rec      *kgo.Record
	d        *eventflow.Delivery // the last it was handed over as
	lane     *lane
	offset   int64
	next     uint64 // behind it in its lane's queue
	size     int32  // of all that it holds
	value    int32  // of its value alone
	epoch    int32
	attempts uint16
	receives uint16
	state    entryState
	sole     soleState

	// in: a transaction is under way with it, so that nobody takes it back or settles it before its end is known; what a
	// settlement meanwhile said is kept in freed.
	in    bool
	freed eventflow.Verb
}

type entryState uint8

const (
	entryQueued entryState = iota
	entryDelayed
	entryHeld // handed over and not settled
	entryDone
)

// soleState is of a record that is run while nothing else of its partition is, because processes have died here.
type soleState uint8

const (
	soleNone    soleState = iota
	soleWanted            // its attempt is to be committed before it starts
	soleCleared           // and was
)

func newTracker(at int64, epoch int32, p *progress) tracker {
	t := tracker{head: 1, prefix: at, epoch: epoch, position: at}
	if p != nil {
		t.past, t.failed = p.done, p.attempts
	}
	return t
}

func (t *tracker) at(seq uint64) *entry { return &t.ring[seq&uint64(len(t.ring)-1)] }

// has reports whether seq is in the ring.
func (t *tracker) has(seq uint64) bool { return seq-t.head < uint64(t.n) }

// add takes a record in. It is false when an earlier consumer has settled it, or it came before.
func (t *tracker) add(r *kgo.Record) (uint64, *entry, bool) {
	if r.Offset < t.position {
		return 0, nil, false
	}
	t.position = r.Offset + 1
	if t.n == len(t.ring) {
		t.grow()
	}
	seq := t.head + uint64(t.n)
	t.n++
	e := t.at(seq)
	*e = entry{offset: r.Offset, epoch: r.LeaderEpoch}
	for len(t.past) > 0 && t.past[0].to <= r.Offset {
		t.past = t.past[1:]
	}
	for len(t.failed) > 0 && t.failed[0].offset < r.Offset {
		t.failed = t.failed[1:]
	}
	if len(t.failed) > 0 && t.failed[0].offset == r.Offset {
		e.attempts = uint16(min(t.failed[0].n, math.MaxUint16))
		t.counted++
	}
	if len(t.past) > 0 && t.past[0].from <= r.Offset {
		t.settle(seq, e)
		return 0, nil, false
	}
	e.rec, e.size, e.value = r, recordSize(r), int32(min(len(r.Value), math.MaxInt32))
	return seq, e, true
}

// recordSize is what a record holds of memory, roughly.
func recordSize(r *kgo.Record) int32 {
	const fixed = 200
	n := fixed + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 40
	}
	return int32(min(n, math.MaxInt32))
}

func (t *tracker) grow() {
	old := *t
	t.ring = make([]entry, max(wordBits, 2*len(t.ring)))
	t.bits = make([]uint64, len(t.ring)/wordBits)
	for i := range uint64(t.n) {
		seq := t.head + i
		if *t.at(seq) = *old.at(seq); t.at(seq).state == entryDone {
			word, bit := t.mask(seq)
			*word |= bit
		}
	}
}

const wordBits = 64

// mask is where bits tell of seq.
func (t *tracker) mask(seq uint64) (word *uint64, bit uint64) {
	i := seq & uint64(len(t.ring)-1)
	return &t.bits[i/wordBits], 1 << (i % wordBits)
}

// find gives the first from seq to last that is settled, or that is not; last+1: none. A partition whose keys wait for
// each other has thousands behind its prefix, and each commit asks for them.
func (t *tracker) find(seq, last uint64, settled bool) uint64 {
	for seq <= last {
		i := seq & uint64(len(t.ring)-1)
		w := t.bits[i/wordBits]
		if !settled {
			w = ^w
		}
		if w >>= i % wordBits; w != 0 {
			return min(seq+uint64(bits.TrailingZeros64(w)), last+1)
		}
		seq += wordBits - i%wordBits
	}
	return last + 1
}

// settle notes that a record is done and moves the prefix over what is settled now.
func (t *tracker) settle(seq uint64, e *entry) {
	if e.attempts > 0 || e.sole != soleNone {
		t.counted--
	}
	*e = entry{offset: e.offset, epoch: e.epoch, state: entryDone}
	word, bit := t.mask(seq)
	if *word |= bit; seq != t.head {
		t.lastDone = max(t.lastDone, seq)
		return
	}
	for t.n > 0 {
		e := t.at(t.head)
		if e.state != entryDone {
			break
		}
		t.prefix, t.epoch = e.offset+1, e.epoch
		word, bit = t.mask(t.head)
		*word &^= bit
		t.head++
		t.n--
	}
	if t.n > 0 { // what lies between was compacted away
		t.prefix = t.at(t.head).offset
	} else {
		t.prefix = t.position
	}
}

// fail notes a failed run.
func (t *tracker) fail(e *entry) {
	if e.attempts == 0 && e.sole == soleNone {
		t.counted++
	}
	if e.attempts < math.MaxUint16 {
		e.attempts++
	}
}

// mark changes whether a record is run alone.
func (t *tracker) mark(e *entry, s soleState) {
	if before := e.sole; e.attempts == 0 && (before == soleNone) != (s == soleNone) {
		if s == soleNone {
			t.counted--
		} else {
			t.counted++
		}
	}
	e.sole = s
}

// progress gives what a commit may say beyond the prefix; the spans are valid until the next call. A run that is under way
// alone is an attempt already, unless the consumer ends cleanly: if its process dies, nobody could note it then.
func (t *tracker) progress(clean bool) (done []span, failed []attempts) {
	done = t.spans[:0]
	// Neighbours that came one after the other are one span, whatever was compacted away between them.
	last := min(t.lastDone, t.head+uint64(t.n)-1)
	for seq := t.find(t.head, last, true); seq <= last; {
		behind := t.find(seq, last, false)
		done = append(done, span{t.at(seq).offset, t.at(behind-1).offset + 1})
		seq = t.find(behind, last, true)
	}
	for seq, left := t.head, t.counted; left > 0 && t.has(seq); seq++ {
		e := t.at(seq)
		if e.attempts == 0 && e.sole == soleNone {
			continue
		}
		left--
		n := int(e.attempts)
		if e.sole != soleNone && !clean {
			n = min(n+1, math.MaxUint16)
		}
		if n > 0 {
			failed = append(failed, attempts{e.offset, n})
		}
	}
	for _, s := range t.past { // not reached yet
		if s.from = max(s.from, t.position); s.from < s.to {
			if n := len(done); n > 0 && done[n-1].to == s.from {
				done[n-1].to = s.to
			} else {
				done = append(done, s)
			}
		}
	}
	for _, a := range t.failed {
		if a.offset >= t.position {
			failed = append(failed, a)
		}
	}
	t.spans = done
	return done, failed
}
