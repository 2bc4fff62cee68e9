package store

import "math/bits"

// table finds records by the hashes of their keys. What a claim costs a large store is the memory that it touches, and a
// place that follows from a hash is nowhere near the one before. So a look-up reads one bucket, which is one line of a
// cache, and forgetting a key does not go to its bucket at all: its entry stays and is stale from then on. A bucket that
// is full drops its stale entries when the next one comes.
//
// The table grows by one bucket at a time (linear hashing): no claim pays for moving them all.
type table struct {
	records *pages[record]
	index   uint32             // the bits of an entry that are a record's index
	half    uint32             // a power of two: there are half to 2*half-1 buckets
	buckets pages[bucket]      // number n has index n+1
	more    pages[bucket]      // what buckets have besides
	unused  uint32             // a list of those of more that are not used now
	checks  pages[[line]uint8] // by the index of a record: the high bits of its hash, or the complement when it is forgotten
}

// bucket holds entries, the used ones first. An entry is the index of a record and, in the bits that no index needs, the
// high bits of its hash. What it stands for is seen in the record: an entry may be stale, and there may be two of a key.
type bucket struct {
	e    [inBucket]uint32 // 0: not used
	rest uint32           // how many are used, and above it, the bucket with what does not fit
}

const (
	inBucket   = 15
	perBucket  = 6 // keys on average, at most: the rest is for chance and for stale entries
	countBits  = 4
	countMask  = 1<<countBits - 1
	lineBits   = 6
	line       = 1 << lineBits // checks that lie side by side
	checkShift = 24            // of a hash
)

func (b *bucket) len() int { return int(b.rest & countMask) }

func (t *table) init(capacity int, records *pages[record]) {
	t.records = records
	t.index = 1<<bits.Len(uint(capacity)) - 1
	t.half = 1
	t.buckets.add()
}

// bucket gives the first bucket of those that may have an entry for the hash.
func (t *table) bucket(hash uint32) *bucket {
	n := int32(hash & (2*t.half - 1))
	// Without a branch, which would be guessed wrong half the time: those that are not there yet are in the lower half.
	n &^= int32(t.half) & ((t.buckets.made - 1 - n) >> 31)
	return t.buckets.at(n + 1)
}

// next gives the bucket with what does not fit into b, nil when all does.
func (t *table) next(b *bucket) *bucket {
	if i := b.rest >> countBits; i != 0 {
		return t.more.at(int32(i))
	}
	return nil
}

// check gives the place of the check of record i.
func (t *table) check(i int32) *uint8 { return &t.checks.at(i >> lineBits)[i&(line-1)] }

// forget makes the entry of record i stale.
func (t *table) forget(i int32) {
	c := t.check(i)
	*c = ^*c
}

// put enters record i, which has no entry. last is the last of the buckets that may have it.
func (t *table) put(last *bucket, hash uint32, i int32) {
	if i>>lineBits >= t.checks.made {
		t.checks.add()
	}
	if last.len() == inBucket {
		last = t.tidy(t.bucket(hash))
	}
	t.append(last, hash&^t.index|uint32(i))
	*t.check(i) = uint8(hash >> checkShift)
}

// append gives the last bucket, which may be a new one.
func (t *table) append(last *bucket, e uint32) *bucket {
	n := last.len()
	if n == inBucket {
		i := t.unused
		if i != 0 {
			t.unused = t.more.at(int32(i)).rest >> countBits
		} else {
			i = uint32(t.more.add())
		}
		last.rest |= i << countBits
		last, n = t.more.at(int32(i)), 0
		last.rest = 0
	}
	last.e[n] = e
	last.rest++
	return last
}

// tidy makes room in a full bucket and gives the last of those that are left of it.
func (t *table) tidy(b *bucket) *bucket {
	last := t.sift(b)
	if last.len() == inBucket {
		// Before there is another bucket, the records are asked, so that there are no more than the keys need.
		last = t.sort(b, nil)
	}
	return last
}

// sift drops stale entries of b and of the buckets after it. It reads one byte for each, of so few that a cache may hold
// them. A record that has the same check as one before it, by chance, keeps the entry of that one too.
func (t *table) sift(b *bucket) *bucket {
	last, n := b, 0
	for from := b; from != nil; from = t.next(from) {
		for _, e := range from.e[:from.len()] {
			if n == inBucket {
				last, n = t.next(last), 0
			}
			last.e[n] = e
			n += t.live(e) // not a branch, for nothing tells which way it would go
		}
	}
	t.cut(last, n)
	return last
}

// live is 1 when an entry and its record have the same check, or as much of it as the entry has, and 0 otherwise.
func (t *table) live(e uint32) int {
	const low = 1<<checkShift - 1
	differs := (e ^ uint32(*t.check(int32(e & t.index)))<<checkShift) &^ (t.index | low)
	return int((uint64(differs) - 1) >> 63)
}

// sort leaves in b, and in the buckets after it, one entry for each key that belongs there, and moves to the bucket to,
// which is empty, those that belong there.
func (t *table) sort(b, to *bucket) *bucket {
	last, n, lastTo := b, 0, to
	for from := b; from != nil; from = t.next(from) {
		es := from.e[:from.len()]
		var hashes [inBucket]uint32 // read side by side
		for j, e := range es {
			hashes[j] = t.records.at(int32(e & t.index)).hash
		}
		for j, e := range es {
			i, home := int32(e&t.index), t.bucket(hashes[j])
			if t.live(e) == 0 || (e^hashes[j])&^t.index != 0 || home != b && home != to {
				continue
			}
			t.forget(i) // for now: so a second entry of it is not kept
			if home == to {
				lastTo = t.append(lastTo, e)
				continue
			}
			if n == inBucket {
				last, n = t.next(last), 0
			}
			last.e[n] = e
			n++
		}
	}
	t.cut(last, n)
	for _, b := range [...]*bucket{b, to} {
		for ; b != nil; b = t.next(b) {
			for _, e := range b.e[:b.len()] {
				t.forget(int32(e & t.index)) // twice is not at all
			}
		}
	}
	return last
}

// cut leaves n entries in b, and nothing after it.
func (t *table) cut(b *bucket, n int) {
	spare := b.rest >> countBits
	b.rest = uint32(n)
	clear(b.e[n:])
	for spare != 0 {
		i := spare
		b := t.more.at(int32(i))
		spare = b.rest >> countBits
		*b = bucket{rest: t.unused << countBits}
		t.unused = i
	}
}

// grow adds a bucket, and moves to it what belongs there.
func (t *table) grow() {
	from := t.buckets.at(t.buckets.made + 1 - int32(t.half))
	to := t.buckets.at(t.buckets.add())
	t.sort(from, to)
	if t.buckets.made == 2*int32(t.half) {
		t.half *= 2
	}
}
