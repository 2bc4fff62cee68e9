package sqstest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// content is what SendMessage and an entry of SendMessageBatch have in common.
type content struct {
	MessageBody             *string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	MessageDeduplicationID  *string `json:"MessageDeduplicationId"`
	MessageGroupID          *string `json:"MessageGroupId"`
}

type sendMessage struct {
	onQueue
	content

	twice bool // a fault: a standard queue takes it twice
}

type sendResult struct {
	MessageID                    string `json:"MessageId"`
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	SequenceNumber               string `json:",omitempty"`
}

func (r *sendMessage) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	q, err := c.s.find(r.QueueURL)
	if err != nil {
		return nil, err
	}
	now := c.s.clock.Now()
	q.catchUp(now)
	defer q.settle(now)
	out, err := q.send(c, &r.content, now)
	if err == nil && r.twice {
		q.echo(out, now)
	}
	return out, err
}

type sendMessageBatch struct {
	onQueue
	Entries []sendEntry
	partial
	twice bool
}

type sendEntry struct {
	batchID
	content
}

type sendBatchEntry struct {
	ID string `json:"Id"`
	sendResult
}

func (r *sendMessageBatch) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	q, err := c.s.find(r.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch("SendMessageBatchRequestEntry", r.Entries); err != nil {
		return nil, err
	}
	total := 0
	for i := range r.Entries {
		if b := r.Entries[i].MessageBody; b != nil {
			total += sizeOf(*b, r.Entries[i].MessageAttributes)
		}
	}
	if total > maxBatchBytes {
		return nil, refuse("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, total)
	}
	now := c.s.clock.Now()
	q.catchUp(now)
	defer q.settle(now)
	return doBatch(r.Entries, r.partial, func(e *sendEntry) (any, *refusal) {
		out, err := q.send(c, &e.content, now)
		if err == nil && r.twice {
			q.echo(out, now)
		}
		return sendBatchEntry{e.ID, out}, err
	})
}

func (q *queue) send(c *call, r *content, now time.Time) (out sendResult, err *refusal) {
	if err := q.checkContent(r); err != nil {
		return out, err
	}
	m := &message{
		body: *r.MessageBody, md5: digest(*r.MessageBody), attributes: r.MessageAttributes, sender: c.who, sent: now,
		trace: r.MessageSystemAttributes["AWSTraceHeader"].text(),
		size:  sizeOf(*r.MessageBody, r.MessageAttributes) + messageOverhead,
	}
	out = sendResult{MD5OfMessageBody: m.md5, MD5OfMessageAttributes: digestAttributes(m.attributes), MD5OfMessageSystemAttributes: digestAttributes(r.MessageSystemAttributes)}
	if r.MessageGroupID != nil {
		m.group = *r.MessageGroupID
	}
	delay := q.set.delay
	if r.DelaySeconds != nil && !q.fifo {
		delay = time.Duration(*r.DelaySeconds) * time.Second
	}
	var key string
	if q.fifo {
		m.dedupID = dedupID(r)
		key = q.dedupKey(m.group, m.dedupID)
		if s, ok := q.duplicate(key, now); ok {
			out.MessageID, out.SequenceNumber = s.id, s.sequence
			return out, nil
		}
	}
	if q.s.bytes+m.size > q.s.opts.MaxBytes {
		return out, refuse(codeThrottled, "The server holds as much as Options.MaxBytes lets it.")
	}
	m.id = newID()
	q.store(m, delay, now)
	out.MessageID = m.id
	if q.fifo {
		q.remember(key, m, now)
		out.SequenceNumber = m.sequence()
	}
	return out, nil
}

// echo stores the latest message of a standard queue once more, as the service does on rare occasions.
func (q *queue) echo(sent sendResult, now time.Time) {
	if m := q.messages[q.s.serial]; m != nil && m.id == sent.MessageID && !q.fifo {
		twin := *m
		twin.in = nil
		q.store(&twin, m.visibleAt.Sub(now), now)
	}
}

func dedupID(r *content) string {
	if r.MessageDeduplicationID != nil {
		return *r.MessageDeduplicationID
	}
	sum := sha256.Sum256([]byte(*r.MessageBody))
	return hex.EncodeToString(sum[:])
}

const (
	reasonID        = "It can include alphanumeric and punctuation characters. 1 to 128 in length."
	reasonQueueType = "The request include parameter that is not valid for this queue type."
)

func (q *queue) checkContent(r *content) *refusal {
	if r.MessageBody == nil || *r.MessageBody == "" {
		return missing("MessageBody")
	}
	if bad, ok := forbidden(*r.MessageBody); ok {
		return refuse("InvalidMessageContents", "Invalid binary character '#x%X' was found in the message body, the set of allowed characters is "+
			"#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", bad)
	}
	if err := checkAttributes(r.MessageAttributes, r.MessageSystemAttributes); err != nil {
		return err
	}
	if sizeOf(*r.MessageBody, r.MessageAttributes) > q.set.maxMessage {
		return refuse(codeInvalidParameter, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.set.maxMessage)
	}
	if d := r.DelaySeconds; d != nil {
		switch {
		case *d < 0 || *d > int(maxDelay/time.Second):
			return invalid("DelaySeconds", *d, "DelaySeconds must be >= 0 and <= 900.")
		case q.fifo && *d != 0:
			return invalid("DelaySeconds", *d, reasonQueueType)
		}
	}
	if g := r.MessageGroupID; g != nil && !idOf128(*g) {
		return invalid("MessageGroupId", *g, reasonID)
	}
	if d := r.MessageDeduplicationID; d != nil && !idOf128(*d) {
		return invalid("MessageDeduplicationId", *d, reasonID)
	}
	switch {
	case !q.fifo && r.MessageDeduplicationID != nil:
		return invalid("MessageDeduplicationId", *r.MessageDeduplicationID, reasonQueueType)
	case q.fifo && r.MessageGroupID == nil:
		return missing("MessageGroupId")
	case q.fifo && r.MessageDeduplicationID == nil && !q.set.contentDedup:
		return refuse(codeInvalidParameter, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// forbidden is the first character that the service does not take.
func forbidden(s string) (rune, bool) {
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r', r >= 0x20 && r <= 0xFFFD, r >= 0x10000 && r <= utf8.MaxRune:
		default:
			return r, true
		}
	}
	return 0, false
}

// idOf128 is the rule for groups, deduplication IDs and attempts: 1 to 128 letters, digits and ASCII punctuation.
func idOf128(s string) bool {
	return s != "" && len(s) <= maxID && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

var attributeNames = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func attributeName(s string) bool {
	lower := strings.ToLower(s)
	return len(s) <= 256 && attributeNames.MatchString(s) && !strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.")
}

func checkAttributes(as, system map[string]attribute) *refusal {
	if len(as) > maxAttributes {
		return refuse(codeInvalidParameter, "Number of message attributes [%d] exceeds the allowed maximum [%d].", len(as), maxAttributes)
	}
	for name, a := range as {
		if !attributeName(name) {
			return refuse(codeInvalidParameter, "Message (user) attribute name '%s' is invalid.", name)
		}
		if err := checkAttribute("user", name, a); err != nil {
			return err
		}
	}
	for name, a := range system {
		if name != "AWSTraceHeader" || a.DataType != "String" {
			return refuse(codeInvalidParameter, "Message (system) attribute '%s' of type '%s' is not supported.", name, a.DataType)
		}
		if err := checkAttribute("system", name, a); err != nil {
			return err
		}
	}
	return nil
}

func checkAttribute(whose, name string, a attribute) *refusal {
	kind := kindOf(a.DataType)
	switch {
	case len(a.StringListValues)+len(a.BinaryListValues) > 0:
		return refuse(codeUnsupported, "Message (%s) attribute '%s': list values are not supported.", whose, name)
	case a.DataType == "":
		return refuse(codeInvalidParameter, "Message (%s) attribute '%s' must contain a non-empty attribute type.", whose, name)
	case len(a.DataType) > 256 || kind != "String" && kind != "Number" && kind != "Binary":
		return refuse(codeInvalidParameter, "The type of message (%s) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", whose, name)
	case a.text() == "":
		return refuse(codeInvalidParameter, "Message (%s) attribute '%s' must contain a non-empty value of type '%s'.", whose, name, kind)
	case kind == "Binary" && a.StringValue != nil || kind != "Binary" && a.BinaryValue != nil:
		return refuse(codeInvalidParameter, "Message (%s) attribute '%s' has a value of another type than '%s'.", whose, name, kind)
	}
	if kind == "Number" {
		if _, err := strconv.ParseFloat(a.text(), 64); err != nil || strings.Trim(a.text(), "0123456789+-.eE") != "" {
			return refuse(codeInvalidParameter, "Can't cast the value of message (%s) attribute '%s' to a number.", whose, name)
		}
	}
	if kind == "String" {
		if bad, ok := forbidden(a.text()); ok {
			return refuse(codeInvalidParameter, "Invalid binary character '#x%X' was found in the message attribute '%s' value.", bad, name)
		}
	}
	return nil
}

// newID is a UUID of version 4.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
