package eventflow

import (
	"slices"
	"time"
)

// Event is a CloudEvents 1.0 event (https://cloudevents.io), whatever its broker calls it: a Kafka record, an SQS or
// Service Bus message. It is immutable once published or delivered: nobody copies Data, so nobody may change it.
type Event struct {
	ID              string // with Source unique; a broker gives one to an event that has none
	Source          string // a URI reference: who says so
	Type            string // what happened, "com.example.upload.finished"
	Subject         string
	DataContentType string // "application/json"
	DataSchema      string
	// Key is the unit of order and of parallelism: the Kafka record key, the SQS message group, the Service Bus session
	// or partition key. The empty string is no key.
	Key  string
	Time time.Time // when it happened, by its producer's clock
	// Attributes are the CloudEvents extension attributes and the broker's headers, in order. Names may repeat, because
	// Kafka's do.
	Attributes Attributes
	// Data is the payload. Nil is no data at all (a Kafka tombstone), which no codec is asked to decode.
	Data []byte
}

// Attribute is one extension attribute or header. Its Value is of a CloudEvents type: string, bool, int32, int64,
// float64, []byte, [time.Time], or a UUID as [16]byte. Brokers that know fewer types say so in their package comments.
type Attribute struct {
	Name  string
	Value any
}

// Attributes are ordered and may repeat. A slice costs no map per event.
type Attributes []Attribute

// Get gives the first attribute of that name.
func (as Attributes) Get(name string) (any, bool) {
	for i := range as {
		if as[i].Name == name {
			return as[i].Value, true
		}
	}
	return nil, false
}

// String gives the first attribute of that name when it is a string or bytes, and "" otherwise.
func (as Attributes) String(name string) string {
	v, _ := as.Get(name)
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// Without gives the attributes whose name is not among names. It never changes as, which may belong to an event.
func (as Attributes) Without(names ...string) Attributes {
	var out Attributes
	for i := range as {
		if !slices.Contains(names, as[i].Name) {
			out = append(out, as[i])
		}
	}
	return out
}
