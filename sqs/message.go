package sqs

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

// Names of message attributes.
const (
	cePrefix        = "ce-"          // of CloudEvents attributes in binary mode, as in HTTP
	contentTypeName = "content-type" // datacontenttype, as in HTTP; of structured mode too
	moreName        = "eventflow"    // what SQS has no place for: see more
	redriveName     = "eventflow-redrive"
)

const (
	mostAttributes = 10  // of one message
	mostNumbers    = 128 // characters of a group or deduplication ID
	noBody         = "-" // stands for no data, or no bytes of it: SQS wants a character
	megabyte       = 1024 * 1024
)

// outgoing is an event as SQS takes it.
type outgoing struct {
	body       string
	attributes map[string]types.MessageAttributeValue
	group      string // "": a standard queue
	dedup      string
	size       int // as SQS counts: body, and names, types and values of attributes
}

// entry gives the message as one of a batch.
func (o *outgoing) entry(at int) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: entryIDs[at], MessageBody: &o.body, MessageAttributes: o.attributes}
	if o.group != "" {
		e.MessageGroupId, e.MessageDeduplicationId = &o.group, &o.dedup
	}
	return e
}

// encode makes a message of an event. fifo: with a group and a deduplication ID. structured: as JSON, when the event has
// what CloudEvents wants.
func encode(ev *eventflow.Event, fifo, structured bool) outgoing {
	var out outgoing
	w := newWriter()
	if fifo {
		out.group, out.dedup = groupOf(ev), dedupOf(ev)
	}
	if ev.Key != out.group {
		w.more.Key = (*text)(&ev.Key)
	}
	extensions := ev.Attributes
	written := false
	if structured {
		if body, rest, err := cloudevents.Encode(ev); err == nil && clean(string(body)) {
			out.body, extensions, written = string(body), rest, true
			w.put(contentTypeName, cloudevents.ContentType)
		}
	}
	if !written {
		out.body, w.more.Body = bodyOf(ev.Data)
		w.core(ev)
	}
	w.extensions(extensions)
	if !w.more.empty() {
		w.put(moreName, w.more.String())
	}
	out.attributes, out.size = w.attributes, len(out.body)+w.size
	return out
}

// bodyOf gives data as a body that SQS takes, and how it was changed for that.
func bodyOf(data []byte) (body, how string) {
	switch {
	case data == nil:
		return noBody, bodyNone
	case len(data) == 0:
		return noBody, bodyEmpty
	case cleanBytes(data):
		return string(data), ""
	}
	return base64.StdEncoding.EncodeToString(data), bodyBase64
}

// writer collects message attributes, and in more what cannot be one.
type writer struct {
	attributes map[string]types.MessageAttributeValue
	values     []string // that attributes point to
	size       int      // of attributes
	more       more
}

// usualAttributes is how many messages seldom have more of: a map of eight is one block of memory, of ten two.
const usualAttributes = 8

func newWriter() writer {
	return writer{attributes: make(map[string]types.MessageAttributeValue, usualAttributes), values: make([]string, 0, usualAttributes)}
}

// stringType is never written to.
var stringType = aws.String("String")

func (w *writer) put(name, value string) {
	w.values = append(w.values, value) // when it moves, attributes point to where it was
	w.set(name, types.MessageAttributeValue{DataType: stringType, StringValue: &w.values[len(w.values)-1]})
}

func (w *writer) set(name string, v types.MessageAttributeValue) {
	w.attributes[name] = v
	w.size += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
}

// core writes the CloudEvents attributes that are set. An event without ID, source or type is none: it gets no
// specversion, and what it has comes back all the same.
func (w *writer) core(ev *eventflow.Event) {
	whole := ev.ID != "" && ev.Source != "" && ev.Type != ""
	cloudevents.Each(ev, func(name, value string) {
		switch {
		case name == "specversion" && !whole:
		case !clean(value):
			w.more.Core = append(w.more.Core, held{Name: text(name), Type: kindString, Value: text(value)})
		default:
			w.put(coreNames[name], value)
		}
	})
}

// extensions writes each as an attribute of its own, as far as there is room and SQS can hold it, and the others in
// more. The order is told when it is not the alphabet's.
func (w *writer) extensions(as eventflow.Attributes) {
	if len(as) == 0 {
		return
	}
	room := mostAttributes - len(w.attributes)
	own := make([]string, len(as)) // the name of each that gets an attribute
	var names []string
	seen := make(map[string]int, len(as))
	for i := range as {
		seen[as[i].Name]++
	}
	for i := range as {
		if seen[as[i].Name] > 1 {
			continue
		}
		if name := ownName(as[i].Name); name != "" && simple(as[i].Value) {
			own[i] = name
			names = append(names, name)
		}
	}
	sorted := true
	for i := 1; i < len(names); i++ {
		sorted = sorted && names[i-1] < names[i]
	}
	if len(names) > room || len(names) < len(as) || !sorted || !w.more.empty() {
		room-- // for more
	}
	if len(names) > room {
		names = names[:max(room, 0)]
	}
	left := len(names)
	for i := range as {
		if own[i] != "" && left > 0 {
			left--
			w.set(own[i], valueOf(as[i].Value))
			continue
		}
		w.more.Rest = append(w.more.Rest, heldOf(i, as[i]))
	}
	if !sorted {
		w.more.Order = names
	}
}

// ownName gives the name of the message attribute for an extension; "" when SQS has none for it.
func ownName(name string) string {
	if cloudevents.IsName(name) {
		if len(name) > mostName-len(cePrefix) {
			return ""
		}
		return cePrefix + name
	}
	if !legalName(name) || isReserved(name) {
		return ""
	}
	return name
}

const mostName = 256

// legalName reports whether SQS takes a message attribute of that name.
func legalName(name string) bool {
	if name == "" || len(name) > mostName || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	lower := strings.ToLower(name)
	return !strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.")
}

// isReserved reports whether an attribute of that name would be read as something else.
func isReserved(name string) bool {
	return name == moreName || isContentType(name) || ceName(name) != ""
}

// ceName gives the CloudEvents name of a message attribute, "" when it has no prefix of binary mode. HTTP's, Kafka's and
// AMQP's are understood.
func ceName(name string) string {
	for _, prefix := range [...]string{cePrefix, "ce_", "cloudEvents_"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && (cloudevents.IsName(rest) || isCore(rest)) {
			return rest
		}
	}
	return ""
}

// coreNames are the CloudEvents attributes with the names of their message attributes.
var coreNames = func() map[string]string {
	names := map[string]string{"datacontenttype": contentTypeName}
	for _, name := range [...]string{"specversion", "id", "source", "type", "subject", "time", "dataschema"} {
		names[name] = cePrefix + name
	}
	return names
}()

func isCore(name string) bool { return coreNames[name] != "" }

// groupOf gives the message group of an event: its key where SQS takes that, else a digest of it; for an event without
// a key one that no other has, because it has no order.
func groupOf(ev *eventflow.Event) string {
	switch {
	case ev.Key == "":
		return dedupOf(ev)
	case isNumber(ev.Key):
		return ev.Key
	}
	return digest(ev.Key)
}

// dedupOf gives the deduplication ID of an event. It is unique with its source only, and the queue may have several.
func dedupOf(ev *eventflow.Event) string {
	switch {
	case ev.ID == "":
		return rand.Text()
	case ev.Source == "" && isNumber(ev.ID):
		return ev.ID
	}
	return digest(ev.Source + "\n" + ev.ID)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// isNumber reports whether s may be a group or deduplication ID: up to 128 letters, digits and punctuation of ASCII.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= mostNumbers
}

// clean reports whether SQS takes s as it is: not empty, UTF-8, and no character that XML 1.0 has not.
func clean(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !allowed(r, n) {
			return false
		}
		i += n
	}
	return true
}

func cleanBytes(b []byte) bool {
	for i := 0; i < len(b); {
		if len(b)-i >= 8 && plain(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
			continue
		}
		if c := b[i]; c >= ' ' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if !allowed(r, n) {
			return false
		}
		i += n
	}
	return true
}

// plain reports whether eight bytes are all from the space to the end of ASCII. The lowest that is less borrows from
// none below it, so its own bit shows it.
func plain(x uint64) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	return (x|(x-' '*each))&high == 0
}

// allowed reports whether SQS allows a character that is no printable ASCII; n is its length, 1 for a broken one.
func allowed(r rune, n int) bool {
	switch {
	case r == utf8.RuneError && n <= 1, r == 0xfffe, r == 0xffff:
		return false
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	}
	return true
}

// systemAttributes is what is asked for with each message.
var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameMessageGroupId,
}

// incoming is what a message tells besides its event.
type incoming struct {
	group    string
	receives int
	redrive  int
}

// decode reads a message into ev, which is zero. source is what stands for an event that names none: with the message's
// ID it is unique for ever.
func decode(m *types.Message, source string, ev *eventflow.Event) incoming {
	in := incoming{group: m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]}
	in.receives, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	r := reader{attributes: m.MessageAttributes, ev: ev}
	mo, hasMore := r.more()
	body := aws.ToString(m.Body)
	structured := cloudevents.IsStructured(r.contentType()) && mo.Body == "" && cloudevents.Decode([]byte(body), ev) == nil
	r.read(&mo, hasMore, structured)
	if !structured {
		ev.Data = dataOf(body, mo.Body)
	}
	ev.Key = in.group
	if mo.Key != nil {
		ev.Key = string(*mo.Key)
	}
	if ev.ID == "" {
		ev.ID = aws.ToString(m.MessageId)
	}
	if ev.Source == "" {
		ev.Source = source
	}
	if ev.Time.IsZero() {
		if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
			ev.Time = time.UnixMilli(ms).UTC()
		}
	}
	if n, err := strconv.Atoi(ev.Attributes.String(redriveName)); err == nil && n > 0 {
		in.redrive = min(n, mostRedrives)
	}
	return in
}

// mostRedrives bounds what a message may claim.
const mostRedrives = 1_000_000

func dataOf(body, how string) []byte {
	switch how {
	case bodyNone:
		return nil
	case bodyEmpty:
		return []byte{}
	case bodyBase64:
		if data, err := base64.StdEncoding.DecodeString(body); err == nil {
			return data
		}
	}
	return []byte(body)
}
