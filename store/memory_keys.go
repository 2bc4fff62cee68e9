package store

import (
	"hash/maphash"
	"math/rand/v2"

	"github.com/eventflow-go/eventflow"
)

// state of a record.
type state uint8

const (
	unused  state = iota
	running       // granted; its lease may have lapsed
	idle          // failed or released: anybody may claim it
	done
)

// record is what a Memory knows of one key. It is named by its index, so that the table below needs no pointers; index
// 0 is no record. A record has no pointers either, so that the collector does not look at the keys that are held, however
// many they are: its owner and its space are indexes, its ID is copied.
type record struct {
	meta
	id [inRecord]byte // the key's, as much of it as fits
}

const inRecord = 56

type meta struct {
	fence    int   // of the newest grant, as owner
	until    int64 // running and idle: the end of the lease; done: when it ended. Since the store's epoch
	size     int   // of the ID
	more     int32 // the cells of what does not fit
	owner    int32
	space    int32 // of the rest of the key
	prev     int32 // in the list that it is in, if any
	next     int32 // as prev; done: its place among those; of an unused record, the next unused one
	hash     uint32
	attempts int32
	state    state
	last     State // of an idle one: how the newest run was finished
	outcome  eventflow.Outcome
	fire     bool
}

// space is what many keys have in common: all but the ID. The keys of a chunk usually share one, so that a key costs the
// hash of one string instead of four.
type space struct {
	part eventflow.Key // its ID is empty
	salt uint64        // makes the hashes of one ID in two spaces differ
	n    int           // records and probes that use it; at 0 it is given up
	next int32         // of one that was given up, the next such
}

// keys are the records and what finds them.
type keys struct {
	used    int
	seed    maphash.Seed
	table   table
	records pages[record]
	unused  int32 // a list of the records that are not used now
	ids     ids
	owners  owners

	spaces map[eventflow.Key]int32
	byID   []space
	spare  int32 // a list of the spaces that were given up
	last   int32 // the space of the last probe; 0: none
}

func (ks *keys) init(capacity int) {
	ks.seed = maphash.MakeSeed()
	ks.table.init(capacity, &ks.records)
	ks.spaces = make(map[eventflow.Key]int32)
	ks.byID = make([]space, 1, 8) // index 0 is no space
	ks.owners.init()
}

func (ks *keys) at(i int32) *record { return ks.records.at(i) }

// probe is a look-up. Its space is held until add or release.
type probe struct {
	space int32
	hash  uint32
	index int32   // of the record; 0: there is none
	last  *bucket // where an entry goes when there is none
}

// probe looks for a key that may be added. hash is of its ID.
func (ks *keys) probe(p *probe, k *eventflow.Key, hash uint64) {
	s := ks.spaceOf(k)
	if s == 0 {
		s = ks.addSpace(k)
	}
	sp := &ks.byID[s]
	sp.n++
	p.space, p.hash = s, salted(hash, sp.salt)
	p.index, p.last = ks.lookup(s, p.hash, k.ID)
}

// release ends a look-up after which nothing is added.
func (ks *keys) release(p *probe) { ks.drop(p.space) }

// find looks for a key that is not going to be added; 0 when there is none.
func (ks *keys) find(k *eventflow.Key) int32 {
	s := ks.spaceOf(k)
	if s == 0 {
		return 0
	}
	i, _ := ks.lookup(s, salted(ks.hash(k.ID), ks.byID[s].salt), k.ID)
	return i
}

// is reports whether record i, which may be anything, is that of k.
func (ks *keys) is(i int32, k *eventflow.Key) bool {
	if i <= 0 || i > ks.records.made {
		return false
	}
	r := ks.at(i)
	return r.state != unused && ks.ids.is(r, k.ID) && ks.byID[r.space].holds(k)
}

func (ks *keys) key(i int32) eventflow.Key {
	r := ks.at(i)
	k := ks.byID[r.space].part
	k.ID = ks.ids.get(r)
	return k
}

func (ks *keys) hash(id string) uint64 { return maphash.String(ks.seed, id) }

func salted(hash, salt uint64) uint32 { return uint32((hash ^ salt) >> 32) }

// lookup gives the record of a key, 0 when there is none, and the last bucket that it looked at.
func (ks *keys) lookup(s int32, hash uint32, id string) (int32, *bucket) {
	t := &ks.table
	high := ^t.index
	for b := t.bucket(hash); ; {
		for _, e := range &b.e {
			if (e^hash)&high != 0 {
				continue
			}
			i := int32(e &^ high)
			if i == 0 {
				break
			}
			if t.live(e) == 0 {
				continue // the key's own, maybe, from before it was forgotten: its record need not be read
			}
			if r := ks.at(i); r.hash == hash && r.space == s && ks.ids.is(r, id) {
				return i, b
			}
		}
		next := t.next(b)
		if next == nil {
			return 0, b
		}
		b = next
	}
}

// add makes the record of a key that p did not find. The space is held by the record from now on.
func (ks *keys) add(p *probe, id string) int32 {
	i := ks.unused
	if i != 0 {
		ks.unused = ks.at(i).next
	} else {
		i = ks.records.add()
	}
	r := ks.at(i)
	r.meta = meta{space: p.space, hash: p.hash, state: idle}
	ks.ids.set(r, id)
	ks.used++
	ks.table.put(p.last, p.hash, i)
	if ks.used > perBucket*int(ks.table.buckets.made) {
		ks.table.grow()
	}
	return i
}

// remove forgets a record that is in no list. Its entry is stale from now on.
func (ks *keys) remove(i int32) {
	r := ks.at(i)
	ks.table.forget(i)
	ks.drop(r.space)
	ks.owners.drop(r.owner)
	ks.ids.drop(r)
	r.meta = meta{next: ks.unused}
	ks.unused = i
	ks.used--
}

// each gives every record in use. The one given may be removed meanwhile.
func (ks *keys) each(yield func(int32) bool) {
	for i := int32(1); i <= ks.records.made; i++ {
		if ks.at(i).state != unused && !yield(i) {
			return
		}
	}
}

func (s *space) holds(k *eventflow.Key) bool {
	return s.part.Source == k.Source && s.part.Binding == k.Binding && s.part.Flow == k.Flow && s.part.Redrive == k.Redrive
}

func (ks *keys) spaceOf(k *eventflow.Key) int32 {
	if ks.last != 0 && ks.byID[ks.last].holds(k) {
		return ks.last
	}
	part := *k
	part.ID = ""
	s := ks.spaces[part]
	if s != 0 {
		ks.last = s
	}
	return s
}

func (ks *keys) addSpace(k *eventflow.Key) int32 {
	s := ks.spare
	if s != 0 {
		ks.spare = ks.byID[s].next
	} else {
		s = int32(len(ks.byID))
		ks.byID = append(ks.byID, space{})
	}
	part := *k
	part.ID = ""
	ks.byID[s] = space{part: part, salt: rand.Uint64()} //nolint:gosec // it tells spaces apart; the secret is the seed
	ks.spaces[part] = s
	ks.last = s
	return s
}

// drop lets go of a space, which is given up when nothing uses it.
func (ks *keys) drop(s int32) {
	sp := &ks.byID[s]
	sp.n--
	if sp.n > 0 {
		return
	}
	delete(ks.spaces, sp.part)
	*sp = space{next: ks.spare}
	ks.spare = s
	if ks.last == s {
		ks.last = 0
	}
}

// list links records through their own fields, so that putting one in and taking it out costs nothing.
type list struct {
	head, tail int32
	n          int
}

func (l *list) push(ks *keys, i int32) {
	r := ks.at(i)
	r.prev, r.next = l.tail, 0
	if l.tail != 0 {
		ks.at(l.tail).next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.n++
}

func (l *list) remove(ks *keys, i int32) {
	r := ks.at(i)
	if r.prev != 0 {
		ks.at(r.prev).next = r.next
	} else {
		l.head = r.next
	}
	if r.next != 0 {
		ks.at(r.next).prev = r.prev
	} else {
		l.tail = r.prev
	}
	r.prev, r.next = 0, 0
	l.n--
}
