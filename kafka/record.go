package kafka

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

const (
	contentTypeHeader = "content-type"
	attributePrefix   = "ce_" // of CloudEvents' headers
	specVersionHeader = attributePrefix + "specversion"
	idHeader          = attributePrefix + "id"
	sourceHeader      = attributePrefix + "source"
)

// trigger is the canonical text of a topic, and of a group of it; without the group it is the source of records that
// are no CloudEvents.
func trigger(topic, group string) string {
	if group == "" {
		return "kafka/" + topic
	}
	return "kafka/" + topic + "?group=" + url.QueryEscape(group)
}

// origin is what the records of one partition share: the source and the first part of the ID of those that bring none.
// It is used by one goroutine at a time.
type origin struct {
	source string
	prefix string // cluster ID/topic ID/partition/

	last [len(core)]string // the last value of each core attribute: most repeat
}

// newOrigin makes the identity of a partition's records. The cluster's and the topic's ID make it survive a topic that
// is deleted and made again: the same offset is then another event. A cluster that gives no topic IDs (id zero) has the
// name in its place.
func newOrigin(cluster, topic string, id [16]byte, partition int32) *origin {
	name := topic
	if id != [16]byte{} {
		name = base64.RawURLEncoding.EncodeToString(id[:])
	}
	return &origin{source: trigger(topic, ""), prefix: cluster + "/" + name + "/" + strconv.Itoa(int(partition)) + "/"}
}

func (o *origin) appendID(b []byte, offset int64) []byte {
	return strconv.AppendInt(append(b, o.prefix...), offset, 10)
}

// text gives the value of a core attribute.
func (o *origin) text(attribute int, value []byte) string {
	const most = 256 // of what is kept for the next record
	if len(value) > most {
		return string(value)
	}
	if last := &o.last[attribute]; *last != string(value) {
		*last = string(value)
	}
	return o.last[attribute]
}

// core are CloudEvents' own attributes.
var core = [...]string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}

const (
	coreSpecVersion = 0
	coreContentType = 6
)

// fromRecord makes the event of a record: ev must be zero. Data is the record's own bytes. A record that is no
// CloudEvent, in binary or structured mode, is an event all the same, with the source and the ID of its place.
//
// A header of CloudEvents becomes an attribute whose value is a string; any other becomes one whose value is a []byte,
// so that toRecord knows which it was.
func fromRecord(r *kgo.Record, o *origin, ev *eventflow.Event) {
	ev.Key = string(r.Key)
	if !fromFields(r, o, ev) {
		var buf [96]byte
		ev.Source, ev.ID = o.source, string(o.appendID(buf[:0], r.Offset))
	}
}

// fromFields is fromRecord without the key, and without the source and the ID of a record that is no CloudEvent; it
// reports whether it is one.
func fromFields(r *kgo.Record, o *origin, ev *eventflow.Event) (ce bool) {
	ev.Data = r.Value
	if len(r.Headers) > 0 {
		ce = fromHeaders(r, o, ev)
	}
	if ev.Time.IsZero() {
		ev.Time = r.Timestamp
	}
	return ce
}

// fromHeaders fills ev and reports whether it is a CloudEvent.
func fromHeaders(r *kgo.Record, o *origin, ev *eventflow.Event) bool {
	binary, contentType := isBinary(r.Headers), header(r.Headers, contentTypeHeader)
	if contentType >= 0 {
		ev.DataContentType = o.text(coreContentType, r.Headers[contentType].Value)
	}
	structured := !binary && cloudevents.IsStructured(ev.DataContentType) && fromJSON(r, ev)
	var seen [len(core)]bool
	for i := range r.Headers {
		if i == contentType {
			continue
		}
		h := &r.Headers[i]
		name, ce := strings.CutPrefix(h.Key, attributePrefix)
		if ce = ce && (binary || structured); ce {
			c := slices.Index(core[:], name)
			if c >= 0 && binary && !seen[c] {
				seen[c] = true
				if c == coreSpecVersion || cloudevents.Set(ev, name, o.text(c, h.Value)) {
					continue
				}
			}
			ce = c < 0 // a second of a name that may be there once stays a header
		}
		a := eventflow.Attribute{Name: h.Key, Value: h.Value}
		if ce {
			a = eventflow.Attribute{Name: name, Value: string(h.Value)}
		}
		if ev.Attributes == nil {
			ev.Attributes = make(eventflow.Attributes, 0, len(r.Headers)-i)
		}
		ev.Attributes = append(ev.Attributes, a)
	}
	return binary || structured
}

// fromJSON fills ev and reports whether the value is a CloudEvent. What says that it is one and is not reaches the flow
// as it came.
func fromJSON(r *kgo.Record, ev *eventflow.Event) bool { return cloudevents.Decode(r.Value, ev) == nil }

// isBinary reports whether the headers are those of a CloudEvent with an identity of its own.
func isBinary(hs []kgo.RecordHeader) bool {
	v := header(hs, specVersionHeader)
	if v < 0 || string(hs[v].Value) != cloudevents.Version {
		return false
	}
	id, source := header(hs, idHeader), header(hs, sourceHeader)
	return id >= 0 && len(hs[id].Value) > 0 && source >= 0 && len(hs[source].Value) > 0
}

// header gives the index of the first header of that name, or -1.
func header(hs []kgo.RecordHeader, name string) int {
	return slices.IndexFunc(hs, func(h kgo.RecordHeader) bool { return h.Key == name })
}

// encoder makes records of events. What it makes shares its two buffers, so that a call which publishes many events does
// not allocate for each.
type encoder struct {
	topic      string
	structured bool
	text       []byte // of header values; a full one is left to its records
	headers    []kgo.RecordHeader
}

func newEncoder(topic string, structured bool, events int) *encoder {
	const text, headers = 96, 5 // of an event with the usual attributes
	return &encoder{
		topic: topic, structured: structured,
		text: make([]byte, 0, text*events), headers: make([]kgo.RecordHeader, 0, headers*events),
	}
}

// toRecord fills a record, which must be zero, with an event. The attributes of CloudEvents and those with a value of
// any type but []byte become headers of CloudEvents; those with a []byte become headers of their own name.
func (e *encoder) toRecord(ev *eventflow.Event, r *kgo.Record) error {
	r.Topic, r.Value = e.topic, ev.Data
	if ev.Key != "" {
		r.Key = e.bytes(ev.Key)
	}
	start, attributes := len(e.headers), ev.Attributes
	if e.structured {
		body, rest, err := cloudevents.Encode(ev)
		if err != nil {
			return err
		}
		r.Value, attributes = body, rest
		e.add(contentTypeHeader, e.bytes(cloudevents.ContentType))
	} else {
		cloudevents.Each(ev, func(name, value string) { e.add(coreHeader(name), e.bytes(value)) })
	}
	for i := range attributes {
		a := &attributes[i]
		if raw, ok := a.Value.([]byte); ok {
			e.add(a.Name, raw)
			continue
		}
		e.add(attributePrefix+a.Name, e.bytes(cloudevents.FormatValue(a.Value)))
	}
	r.Headers = e.headers[start:len(e.headers):len(e.headers)]
	return nil
}

func (e *encoder) add(name string, value []byte) {
	e.headers = append(e.headers, kgo.RecordHeader{Key: name, Value: value})
}

func (e *encoder) bytes(s string) []byte {
	start := len(e.text)
	e.text = append(e.text, s...)
	return e.text[start:len(e.text):len(e.text)]
}

// coreHeader gives the header of a core attribute without making a string.
func coreHeader(name string) string { return coreHeaders[slices.Index(core[:], name)] }

var coreHeaders = [len(core)]string{
	specVersionHeader, idHeader, sourceHeader, "ce_type", "ce_subject", "ce_time", contentTypeHeader, "ce_dataschema",
}
