package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
)

// Kafka keeps one offset for a group and a partition, and a text beside it. The offset is the contiguous prefix; the text
// says what is known beyond it: which records behind the prefix are settled, which have failed, and how often a process
// that began at this offset has died. A text that is not ours, or is of another topic or another offset, says nothing:
// records are then run once more, never skipped.

// progress is what a commit's text says.
type progress struct {
	topic    [16]byte // the ID: a topic that was made again is another one
	base     int64    // the committed offset
	starts   int      // since base was committed first: consumers that began there and did not end cleanly, the present one included
	until    int64    // records below it are run one at a time; 0: none
	attempts []attempts
	done     []span
}

// attempts are the failed runs of one record.
type attempts struct {
	offset int64
	n      int
}

// span is the offsets from, …, to−1.
type span struct{ from, to int64 }

const (
	// metadataLimit is Kafka's default of offset.metadata.max.bytes. A broker with a smaller one refuses the commit, and
	// learns us.
	metadataLimit = 4096

	metadataMagic = "ef1."
	noSpans       = 0
	runLengths    = 1
	bitmap        = 2

	// No span that a decoder believes is longer: what a partition's tracker can hold is far below.
	maxSpan = 1 << 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes p in at most limit bytes. What does not fit is left out, the spans first, then the attempts of the last
// records; whole reports whether the spans are in.
func (p *progress) encode(limit int) (text string, whole bool) {
	for _, spans := range [][]span{p.done, nil} {
		for n := len(p.attempts); ; n /= 2 {
			if b := p.bytes(p.attempts[:n], spans); metadataSize(len(b)) <= limit {
				text := append(make([]byte, 0, metadataSize(len(b))), metadataMagic...)
				return string(base64.RawURLEncoding.AppendEncode(text, b)), len(spans) == len(p.done)
			}
			if n == 0 || len(spans) > 0 {
				break
			}
		}
	}
	return "", len(p.done) == 0
}

// metadataSize is the length of the text of n bytes.
func metadataSize(n int) int { return len(metadataMagic) + base64.RawURLEncoding.EncodedLen(n) }

func (p *progress) bytes(as []attempts, spans []span) []byte {
	b := make([]byte, 4, 48+3*len(spans))
	b = append(b, p.topic[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.base))
	b = binary.AppendUvarint(b, uint64(p.starts))
	b = binary.AppendUvarint(b, uint64(max(p.until-p.base, 0)))
	b = binary.AppendUvarint(b, uint64(len(as)))
	at := p.base
	for _, a := range as {
		b = binary.AppendUvarint(b, uint64(a.offset-at))
		b = binary.AppendUvarint(b, uint64(a.n))
		at = a.offset
	}
	return seal(appendSpans(b, p.base, spans))
}

// seal fills the checksum in.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// appendSpans writes the spans as run lengths or as a bitmap, whichever is shorter: a few long runs, or every other
// record of thousands.
func appendSpans(b []byte, base int64, spans []span) []byte {
	if len(spans) == 0 {
		return append(b, noSpans)
	}
	start := len(b)
	b = binary.AppendUvarint(append(b, runLengths), uint64(len(spans)))
	at := base
	for _, s := range spans {
		b = binary.AppendUvarint(b, uint64(s.from-at))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		at = s.to
	}
	first, last := spans[0].from, spans[len(spans)-1].to
	if (last-first)/8+8 >= int64(len(b)-start) {
		return b
	}
	size := (last - first + 7) / 8
	b = binary.AppendUvarint(append(b[:start], bitmap), uint64(first-base))
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, make([]byte, size)...)
	bits := b[int64(len(b))-size:]
	for _, s := range spans {
		for o := s.from - first; o < s.to-first; o++ {
			bits[o/8] |= 1 << (o % 8)
		}
	}
	return b
}

// decodeProgress reads what encode has written. False: it is not ours, or damaged.
func decodeProgress(text string) (progress, bool) {
	var p progress
	body, ours := strings.CutPrefix(text, metadataMagic)
	if !ours {
		return p, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	const fixed = 4 + 16 + 8
	if err != nil || len(b) < fixed || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return p, false
	}
	copy(p.topic[:], b[4:])
	p.base = int64(binary.BigEndian.Uint64(b[20:]))
	if p.base < 0 || p.base > math.MaxInt64-2*maxSpan {
		return p, false
	}
	r := reader{b: b[fixed:], ok: true}
	p.starts = int(r.most(math.MaxInt16))
	if ahead := r.most(maxSpan); ahead > 0 {
		p.until = p.base + int64(ahead)
	}
	r.attempts(&p)
	r.spans(&p)
	if !r.ok || len(r.b) > 0 {
		return progress{}, false
	}
	return p, true
}

// reader takes numbers off a slice; ok turns false for good at the first that is not there or too large.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) most(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.ok, r.b = false, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// attempts are of ascending offsets; only the first may be of the base itself.
func (r *reader) attempts(p *progress) {
	at := p.base
	for i := range r.most(uint64(len(r.b))) {
		delta, n := r.most(maxSpan), r.most(math.MaxUint16)
		at += int64(delta)
		if !r.ok || n == 0 || i > 0 && delta == 0 || at-p.base > maxSpan {
			r.ok = false
			return
		}
		p.attempts = append(p.attempts, attempts{offset: at, n: int(n)})
	}
}

func (r *reader) spans(p *progress) {
	switch r.most(bitmap) {
	case runLengths:
		at := p.base
		for i := range r.most(uint64(len(r.b))) {
			gap, n := r.most(maxSpan), r.most(maxSpan)
			from := at + int64(gap)
			at = from + int64(n)
			if !r.ok || n == 0 || i > 0 && gap == 0 || at-p.base > maxSpan {
				r.ok = false
				return
			}
			p.done = append(p.done, span{from, at})
		}
	case bitmap:
		at := p.base + int64(r.most(maxSpan))
		n := r.most(uint64(len(r.b)))
		if !r.ok || uint64(len(r.b)) < n {
			r.ok = false
			return
		}
		p.done, r.b = fromBitmap(at, r.b[:n]), r.b[n:]
	}
}

func fromBitmap(at int64, bits []byte) (out []span) {
	for i := range int64(len(bits)) * 8 {
		if bits[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		if o := at + i; len(out) > 0 && out[len(out)-1].to == o {
			out[len(out)-1].to++
		} else {
			out = append(out, span{o, o + 1})
		}
	}
	return out
}
