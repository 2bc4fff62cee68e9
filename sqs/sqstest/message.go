package sqstest

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum, which clients compare
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type state uint8

const (
	visible  state = iota
	delayed        // not yet receivable
	inFlight       // received, and neither deleted nor visible again
)

// message is one in a queue. What a client sent never changes; a redrive changes queue and serial.
type message struct {
	id         string
	body       string
	md5        string
	attributes map[string]attribute
	trace      string // the system attribute AWSTraceHeader
	group      string
	dedupID    string
	sender     string
	sent       time.Time
	size       int // of body and attributes, and our overhead

	queue    *queue
	serial   uint64 // its place in the queue's order; FIFO queues show it as SequenceNumber
	enqueued time.Time
	state    state
	// visibleAt is when a delayed or received message may be received, and since when a visible one may.
	visibleAt time.Time
	receipt   uint64 // of the latest receive; older handles are stale
	received  time.Time
	first     time.Time // the first receive
	receives  int       // in all queues
	here      int       // in this queue, which is what its redrive policy counts
	source    string    // the ARN of the queue that it is a dead letter of

	in    *schedule // where it waits for its time or its receiver
	place int

	lane       *lane // FIFO
	prev, next *message
}

// attribute is a message attribute's value as the protocol carries it.
type attribute struct {
	DataType         string   `json:"DataType"`
	StringValue      *string  `json:"StringValue,omitempty"`
	BinaryValue      []byte   `json:"BinaryValue,omitempty"`
	StringListValues []string `json:"StringListValues,omitempty"`
	BinaryListValues [][]byte `json:"BinaryListValues,omitempty"`
}

func (a attribute) isBinary() bool { return kindOf(a.DataType) == "Binary" }

func kindOf(dataType string) string {
	kind, _, _ := strings.Cut(dataType, ".")
	return kind
}

// text is the value's bytes.
func (a attribute) text() string {
	if a.isBinary() {
		return string(a.BinaryValue)
	}
	if a.StringValue == nil {
		return ""
	}
	return *a.StringValue
}

func digest(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// digestAttributes is "" for none. Names in order; name, type and value each behind its length in four bytes; a byte
// that tells strings (1) from binary (2).
func digestAttributes(as map[string]attribute) string {
	if len(as) == 0 {
		return ""
	}
	var b []byte
	add := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(as)) {
		a := as[name]
		add(name)
		add(a.DataType)
		if a.isBinary() {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		add(a.text())
	}
	return digest(string(b))
}

// sizeOf is what counts towards the limits of messages and batches.
func sizeOf(body string, as map[string]attribute) int {
	n := len(body)
	for name, a := range as {
		n += len(name) + len(a.DataType) + len(a.text())
	}
	return n
}

// pick is the attributes that a receiver asked for: by name, by a prefix with ".*", or All.
func pick(as map[string]attribute, wanted []string) map[string]attribute {
	if len(as) == 0 || len(wanted) == 0 {
		return nil
	}
	out := map[string]attribute{}
	for name, a := range as {
		for _, w := range wanted {
			prefix, isPrefix := strings.CutSuffix(w, ".*")
			if w == "All" || w == name || isPrefix && strings.HasPrefix(name, prefix) {
				out[name] = a
			}
		}
	}
	return out
}

// system are the system attributes that a receiver asked for.
func (m *message) system(wanted []string) map[string]string {
	if len(wanted) == 0 {
		return nil
	}
	all := map[string]string{
		"SenderId":                         m.sender,
		"SentTimestamp":                    millis(m.sent),
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		"ApproximateFirstReceiveTimestamp": millis(m.first),
		"MessageGroupId":                   m.group,
		"MessageDeduplicationId":           m.dedupID,
		"AWSTraceHeader":                   m.trace,
		"DeadLetterQueueSourceArn":         m.source,
	}
	if m.queue.fifo {
		all["SequenceNumber"] = m.sequence()
	}
	every := slices.Contains(wanted, "All")
	maps.DeleteFunc(all, func(name, value string) bool { return value == "" || !every && !slices.Contains(wanted, name) })
	return all
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// sequence is 20 digits, as the service's are.
func (m *message) sequence() string {
	s := strconv.FormatUint(m.serial, 10)
	return "18" + strings.Repeat("0", max(0, 18-len(s))) + s
}

// A handle names queue, message and receive. The checksum tells a handle that was never ours from one that is stale.
type handle struct{ queue, message, receipt uint64 }

const handleBytes = 3*8 + 4

func (h handle) String() string {
	b := make([]byte, 0, handleBytes)
	for _, v := range []uint64{h.queue, h.message, h.receipt} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return "AQEB" + base64.StdEncoding.EncodeToString(b)
}

func parseHandle(s string) (h handle, ok bool) {
	rest, ok := strings.CutPrefix(s, "AQEB")
	if !ok {
		return h, false
	}
	b, err := base64.StdEncoding.DecodeString(rest)
	if err != nil || len(b) != handleBytes || binary.BigEndian.Uint32(b[24:]) != crc32.ChecksumIEEE(b[:24]) {
		return h, false
	}
	return handle{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}, true
}
