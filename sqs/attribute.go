package sqs

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

// How a body was changed to be one that SQS takes.
const (
	bodyNone   = "none"   // there is no data
	bodyEmpty  = "empty"  // there is data, of no bytes
	bodyBase64 = "base64" // it holds what is no UTF-8, or characters that SQS refuses
)

// more is what SQS has no place for: it is one message attribute, in JSON.
type more struct {
	Body  string   `json:"body,omitempty"`
	Key   *text    `json:"key,omitempty"`   // where it is not the message group
	Core  []held   `json:"core,omitempty"`  // CloudEvents attributes that no message attribute can hold
	Order []string `json:"order,omitempty"` // of the extensions that are message attributes; not told: by name
	Rest  []held   `json:"rest,omitempty"`  // the other extensions, with their places
}

func (m *more) empty() bool {
	return m.Body == "" && m.Key == nil && len(m.Core) == 0 && len(m.Order) == 0 && len(m.Rest) == 0
}

func (m *more) String() string {
	if m.isKey() { // the most frequent, and not worth reflection
		return `{"key":"` + string(*m.Key) + `"}`
	}
	whole := *m // so that m need not be on the heap
	b, err := json.Marshal(&whole)
	if err != nil { // no field can fail
		panic(err)
	}
	return string(b)
}

// isKey reports whether there is nothing but a key, of which JSON escapes no character.
func (m *more) isKey() bool {
	if m.Key == nil || m.Body != "" || len(m.Core)+len(m.Order)+len(m.Rest) > 0 {
		return false
	}
	for i := range len(*m.Key) {
		switch c := (*m.Key)[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// held is one attribute in more.
type held struct {
	At    int    `json:"at,omitempty"` // its index among the extensions
	Name  text   `json:"name"`
	Type  string `json:"type,omitempty"` // one of the kinds; none: a string
	Value text   `json:"value"`
}

// text is a string that JSON and SQS both hold: in base64 when it has characters that one of them would not.
type text string

type base64Text struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON gives the text, or an object with its bytes in base64.
func (t text) MarshalJSON() ([]byte, error) {
	if t != "" && !clean(string(t)) {
		return json.Marshal(base64Text{[]byte(t)})
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON reads what MarshalJSON gives.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var x base64Text
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
		*t = text(x.Base64)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// Kinds of values. The type of a message attribute is String, Number or Binary, and these behind a full stop, as SQS
// allows: other clients see a string, a number or bytes.
const (
	kindString = ""
	kindBool   = "bool"
	kindInt32  = "int32"
	kindInt64  = "int64"
	kindFloat  = "float64"
	kindTime   = "time"
	kindUUID   = "uuid"
	kindBytes  = "bytes"
)

func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return kindBool
	case int32:
		return kindInt32
	case int64:
		return kindInt64
	case float64:
		return kindFloat
	case time.Time:
		return kindTime
	case [16]byte:
		return kindUUID
	case []byte:
		return kindBytes
	}
	return kindString
}

// simple reports whether a message attribute can hold the value.
func simple(v any) bool {
	switch v := v.(type) {
	case []byte:
		return len(v) > 0
	case string:
		return clean(v)
	}
	return clean(cloudevents.FormatValue(v))
}

// valueOf gives a simple value as a message attribute.
func valueOf(v any) types.MessageAttributeValue {
	if b, ok := v.([]byte); ok {
		return types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: b}
	}
	base, kind := "String", kindOf(v)
	if kind == kindInt32 || kind == kindInt64 {
		base = "Number"
	}
	if kind != kindString {
		base += "." + kind
	}
	return types.MessageAttributeValue{DataType: &base, StringValue: aws.String(cloudevents.FormatValue(v))}
}

func heldOf(at int, a eventflow.Attribute) held {
	return held{At: at, Name: text(a.Name), Type: kindOf(a.Value), Value: text(cloudevents.FormatValue(a.Value))}
}

// parse gives the value of a kind; the text itself when it is none of it.
func parse(kind, s string) any {
	switch kind {
	case kindBool:
		if b, err := strconv.ParseBool(s); err == nil {
			return b
		}
	case kindInt32:
		if n, err := strconv.ParseInt(s, 10, 32); err == nil {
			return int32(n)
		}
	case kindInt64:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case kindFloat:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case kindTime:
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t
		}
	case kindUUID:
		if b, err := hex.DecodeString(strings.ReplaceAll(s, "-", "")); err == nil && len(b) == 16 {
			return [16]byte(b)
		}
	case kindBytes:
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			return b
		}
	}
	return s
}

// value reads a message attribute, whoever wrote it.
func value(v types.MessageAttributeValue) any {
	kind := aws.ToString(v.DataType)
	base, label, _ := strings.Cut(kind, ".")
	switch {
	case base == "Binary":
		return v.BinaryValue
	case base == "Number" && label == "":
		return number(aws.ToString(v.StringValue))
	}
	return parse(label, aws.ToString(v.StringValue))
}

// number gives what another client wrote as a number: an int64 or float64 that is exactly that, else the text.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && cloudevents.FormatValue(f) == s {
		return f
	}
	return s
}

// reader reads the attributes of a message into an event.
type reader struct {
	attributes map[string]types.MessageAttributeValue
	ev         *eventflow.Event
}

// more reads what SQS has no place for. What does not parse is somebody else's attribute.
func (r *reader) more() (more, bool) {
	v, ok := r.attributes[moreName]
	if !ok {
		return more{}, false
	}
	var m more
	if json.Unmarshal([]byte(aws.ToString(v.StringValue)), &m) != nil {
		return more{}, false
	}
	return m, true
}

// contentType finds the content type under the names that it goes by.
func (r *reader) contentType() string {
	for _, name := range contentTypeNames {
		if v, ok := r.attributes[name]; ok {
			return aws.ToString(v.StringValue)
		}
	}
	return ""
}

var contentTypeNames = [...]string{contentTypeName, "Content-Type", "contentType", "ContentType"}

func isContentType(name string) bool { return slices.Contains(contentTypeNames[:], name) }

// read reads all attributes. In structured mode the body has said what the CloudEvents attributes are, and the content
// type is the body's.
func (r *reader) read(m *more, hasMore, structured bool) {
	if !structured {
		r.ev.DataContentType = r.contentType()
		for _, h := range m.Core {
			cloudevents.Set(r.ev, string(h.Name), string(h.Value))
		}
	}
	names := make([]string, 0, len(r.attributes))
	for name, v := range r.attributes {
		if isContentType(name) || name == moreName && hasMore {
			continue
		}
		if core := ceName(name); isCore(core) && (structured || cloudevents.Set(r.ev, core, aws.ToString(v.StringValue))) {
			continue
		}
		names = append(names, name)
	}
	if len(names)+len(m.Rest) == 0 {
		return
	}
	slices.Sort(names)
	if len(m.Order) > 0 {
		place := make(map[string]int, len(m.Order))
		for i, name := range m.Order {
			place[name] = i + 1
		}
		slices.SortStableFunc(names, func(a, b string) int { return place[a] - place[b] }) // others first
	}
	out := make(eventflow.Attributes, 0, len(names)+len(m.Rest))
	rest := m.Rest
	for len(names)+len(rest) > 0 {
		if len(rest) > 0 && (rest[0].At <= len(out) || len(names) == 0) {
			out = append(out, eventflow.Attribute{Name: string(rest[0].Name), Value: parse(rest[0].Type, string(rest[0].Value))})
			rest = rest[1:]
			continue
		}
		name := names[0]
		names = names[1:]
		v := value(r.attributes[name])
		if ext := ceName(name); ext != "" && !isCore(ext) {
			name = ext
		}
		out = append(out, eventflow.Attribute{Name: name, Value: v})
	}
	r.ev.Attributes = append(r.ev.Attributes, out...)
}
