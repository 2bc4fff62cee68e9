package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/eventflow-go/eventflow"
)

// A key is one column of bytes, so that an index holds one and a comparison is one. Its parts stand behind their
// lengths: no two lists of parts give the same bytes, whatever they hold, and keys of one source with IDs of one length
// stand side by side in an index.
const (
	whole  byte = 0 // the parts follow
	hashed byte = 1 // their hash follows, for what no index takes
)

// maxKey is the longest key that is kept whole. PostgreSQL indexes at most 2,704 bytes, SQLite's rows leave their page
// beyond a quarter of it.
const maxKey = 512

// identify gives the bytes of a key and, when those are only a hash, the parts besides.
func identify(k *eventflow.Key) (key, rest []byte) {
	full := make([]byte, 1, 16+len(k.Flow)+len(k.Binding)+len(k.Source)+len(k.ID))
	full[0] = whole
	for _, s := range [...]string{k.Flow, k.Binding, k.Source} {
		full = appendPart(full, s)
	}
	full = binary.AppendVarint(full, int64(k.Redrive))
	full = appendPart(full, k.ID)
	if len(full) <= maxKey {
		return full, noBytes
	}
	return digest(full), full
}

// noBytes is an empty value that no driver takes for NULL.
var noBytes = []byte{}

// name gives the bytes of a name within a flow: a clock's, a slot's.
func name(flow, part string) []byte {
	full := appendPart(appendPart([]byte{whole}, flow), part)
	if len(full) <= maxKey {
		return full
	}
	return digest(full)
}

func digest(full []byte) []byte {
	sum := sha256.Sum256(full)
	return append([]byte{hashed}, sum[:]...)
}

func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errKey = errors.New("store: a key in the store cannot be read: it was written by something else")

// restore is the inverse of identify.
func restore(key, rest []byte) (k eventflow.Key, err error) {
	b := key
	if len(rest) > 0 {
		b = rest
	}
	if len(b) == 0 || b[0] != whole {
		return k, errKey
	}
	b = b[1:]
	part := func() string {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			err = errKey
			return ""
		}
		s := string(b[w : w+int(n)])
		b = b[w+int(n):]
		return s
	}
	k.Flow, k.Binding, k.Source = part(), part(), part()
	n, w := binary.Varint(b)
	if err != nil || w <= 0 {
		return eventflow.Key{}, errKey
	}
	b = b[w:]
	k.Redrive = int(n)
	k.ID = part()
	if err != nil || len(b) > 0 {
		return eventflow.Key{}, errKey
	}
	return k, nil
}
