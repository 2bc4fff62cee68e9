package kafka

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestProgressSurvivesItsText(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]progress{
		"nothing":       {},
		"starts":        {topic: [16]byte{1, 2}, base: 7, starts: 3, until: 9},
		"attempts":      {base: 1 << 40, attempts: []attempts{{1 << 40, 1}, {1<<40 + 5, 65535}}},
		"one long run":  {base: 3, done: []span{{4, 100_000}}},
		"runs":          {base: 3, done: []span{{4, 1000}, {2000, 9000}}},
		"every other":   {base: 0, done: everyOther(1, 4000)},
		"all of it":     {topic: [16]byte{15: 9}, base: 10, starts: 1, attempts: []attempts{{10, 2}}, done: []span{{11, 12}, {13, 14}}},
		"bits and runs": {base: 0, done: append(everyOther(1, 200), span{1000, 1001})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, whole := p.encode(metadataLimit)
			require.True(t, whole)
			require.LessOrEqual(t, len(text), metadataLimit)
			got, ok := decodeProgress(text)
			require.True(t, ok)
			require.Equal(t, p, got)
		})
	}
}

func everyOther(from, to int64) (out []span) {
	for o := from; o < to; o += 2 {
		out = append(out, span{o, o + 1})
	}
	return out
}

func TestProgressThatDoesNotFitLosesTheSpansFirstAndTheLastAttemptsNext(t *testing.T) {
	t.Parallel()
	p := progress{base: 5, starts: 2, done: everyOther(100, 4000)}
	for i := range int64(40) {
		p.attempts = append(p.attempts, attempts{5 + 3*i, 1})
	}
	before := metadataLimit
	for limit := metadataLimit; limit >= 0; limit-- {
		text, whole := p.encode(limit)
		require.LessOrEqual(t, len(text), limit)
		if text == "" {
			require.Less(t, limit, 60, "the prefix's own text is short")
			continue
		}
		got, ok := decodeProgress(text)
		require.True(t, ok)
		require.Equal(t, 2, got.starts)
		require.Equal(t, whole, len(got.done) > 0)
		require.Equal(t, p.attempts[:len(got.attempts)], append([]attempts{}, got.attempts...))
		require.LessOrEqual(t, len(got.attempts), before)
		before = len(got.attempts)
	}
}

func TestTextOfAnotherProgramSaysNothing(t *testing.T) {
	t.Parallel()
	p := progress{base: 5, starts: 2, done: []span{{7, 9}}}
	text, _ := p.encode(metadataLimit)
	for i := range len(text) {
		for _, c := range "A_z\x00" {
			if damaged := text[:i] + string(c) + text[i+1:]; damaged != text {
				_, ok := decodeProgress(damaged)
				require.False(t, ok, "byte %d became %q", i, c)
			}
		}
		_, ok := decodeProgress(text[:i])
		require.False(t, ok)
	}
	for _, other := range []string{"", "ef1.", "eventflow-a1b2c3", "{\"offset\":1}", strings.Repeat("x", 5000)} {
		_, ok := decodeProgress(other)
		require.False(t, ok)
	}
}

// Any bytes are ignored or right: what a text says is what encode would have written, in order and not before its base.
func FuzzMetadata(f *testing.F) {
	for _, p := range []progress{{}, {base: 9, starts: 4, until: 99, attempts: []attempts{{9, 1}, {10, 2}}, done: []span{{11, 20}}}, {done: everyOther(1, 300)}} {
		text, _ := p.encode(metadataLimit)
		f.Add(text)
		body, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, metadataMagic))
		require.NoError(f, err)
		f.Add(string(body))
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(text string) {
			p, ok := decodeProgress(text)
			if !ok {
				return
			}
			at := p.base
			for i, a := range p.attempts {
				require.True(t, a.offset >= at && a.n > 0 && (i == 0 || a.offset > at))
				at = a.offset
			}
			at = p.base
			for i, s := range p.done {
				require.True(t, s.from >= at && s.to > s.from && (i == 0 || s.from > at), "%v", p.done)
				at = s.to
			}
			again, whole := p.encode(1 << 30)
			require.True(t, whole)
			q, ok := decodeProgress(again)
			require.True(t, ok)
			require.Equal(t, p, q)
		}
		check(text)
		check(metadataMagic + text)
		if b := []byte(text); len(b) >= 4 { // past the checksum
			g := progress{}
			check(sealed(slices.Concat(g.bytes(nil, nil)[:28], b)))
		}
	})
}

// sealed gives the text of bytes with a right checksum.
func sealed(b []byte) string { return metadataMagic + base64.RawURLEncoding.EncodeToString(seal(b)) }

// A tracker against a model: records with gaps come, settle in any order, and a successor takes over from what a commit
// says. Nothing that is not settled may be below the prefix or in a span, whatever the order.
func TestNoRecordIsSkippedWhateverTheOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var log []int64
		for o := int64(rnd.IntN(3)); len(log) < 200; o += 1 + int64(rnd.IntN(2)*rnd.IntN(5)) {
			log = append(log, o)
		}
		settled, failures := map[int64]bool{}, map[int64]int{}
		var said *progress
		start := log[0]
		for range 5 { // consumers, one after the other
			tr := newTracker(start, -1, said)
			open := map[uint64]int64{}
			next := 0
			for next < len(log) && log[next] < start {
				require.True(t, settled[log[next]], "seed %d: %d is below the committed offset", seed, log[next])
				next++
			}
			for step := range 120 {
				if next < len(log) && rnd.IntN(3) > 0 {
					o := log[next]
					next++
					seq, e, fresh := tr.add(&kgo.Record{Offset: o})
					require.Equal(t, !settled[o], fresh, "seed %d, offset %d", seed, o)
					if fresh {
						require.Equal(t, failures[o], int(e.attempts), "seed %d, offset %d", seed, o)
						e.state = entryHeld
						open[seq] = o
					}
				}
				for seq, o := range open {
					if rnd.IntN(4) == 0 {
						tr.fail(tr.at(seq))
						failures[o]++
					}
					if rnd.IntN(2) == 0 {
						tr.settle(seq, tr.at(seq))
						settled[o] = true
						delete(open, seq)
					}
					break // one at random
				}
				for _, o := range open {
					require.GreaterOrEqual(t, o, tr.prefix, "seed %d step %d", seed, step)
				}
			}
			p := progress{base: tr.prefix}
			p.done, p.attempts = tr.progress(true)
			text, whole := p.encode(metadataLimit)
			require.True(t, whole)
			g, ok := decodeProgress(text)
			require.True(t, ok)
			for _, s := range g.done {
				for _, o := range log {
					require.False(t, o >= s.from && o < s.to && !settled[o], "seed %d: %d is in a span", seed, o)
				}
			}
			start, said = tr.prefix, &g
		}
	}
}
