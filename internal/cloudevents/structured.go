package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/eventflow-go/eventflow"
)

// ErrNotEvent says that a message in structured mode is no CloudEvent of version 1.0. Its text quotes no payload.
var ErrNotEvent = errors.New("not a CloudEvent in the JSON format")

func notEvent(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotEvent, fmt.Sprintf(format, args...))
}

// Decode reads an event in the JSON format into ev: all but Key, and extensions after the Attributes that are there. On
// an error ev is as it was.
func Decode(body []byte, ev *eventflow.Event) error {
	in := json.NewDecoder(bytes.NewReader(body))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return notEvent("an object is wanted")
	}
	out := eventflow.Event{Key: ev.Key, Attributes: ev.Attributes}
	var data, encoded json.RawMessage
	var seen []string
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return notEvent("it does not parse at byte %d", in.InputOffset())
		}
		name, _ := t.(string) // a key is nothing else
		var value json.RawMessage
		if err = in.Decode(&value); err != nil {
			return notEvent("it does not parse at byte %d", in.InputOffset())
		}
		if slices.Contains(seen, name) {
			return notEvent("%.40q is there twice", name)
		}
		if seen = append(seen, name); len(seen) > mostMembers {
			return notEvent("it has more than %d members", mostMembers)
		}
		switch {
		case name == "data":
			data = value
		case string(value) == "null": // as if it were not there
		case name == "data_base64":
			encoded = value
		case isCore(name):
			var text string
			if json.Unmarshal(value, &text) != nil || !Set(&out, name, text) {
				return notEvent("%s is none", name)
			}
		default:
			v, err := extension(value)
			if err != nil {
				return notEvent("%.40q: %v", name, err)
			}
			out.Attributes = append(out.Attributes, eventflow.Attribute{Name: name, Value: v})
		}
	}
	if _, err := in.Token(); err != nil {
		return notEvent("it does not parse at byte %d", in.InputOffset())
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return notEvent("something follows it")
	}
	if !slices.Contains(seen, "specversion") || out.ID == "" || out.Source == "" || out.Type == "" {
		return notEvent("specversion, id, source and type must be there")
	}
	if err := payload(&out, data, encoded); err != nil {
		return err
	}
	*ev = out
	return nil
}

// mostMembers bounds the search for names that are there twice.
const mostMembers = 1000

func payload(ev *eventflow.Event, data, encoded json.RawMessage) error {
	switch {
	case data != nil && encoded != nil:
		return notEvent("data and data_base64 exclude each other")
	case encoded != nil:
		var text string
		if json.Unmarshal(encoded, &text) != nil {
			return notEvent("data_base64 is no text")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return notEvent("data_base64 is not in base64")
		}
		ev.Data = b
	case data != nil && !isJSON(ev.DataContentType) && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return notEvent("data is no text")
		}
		ev.Data = []byte(text)
	case data != nil:
		ev.Data = data
	}
	return nil
}

// isJSON reports whether data of the content type is written as it is. None means JSON in this format.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	_, sub, _ := strings.Cut(media, "/")
	return sub == "json" || strings.HasSuffix(sub, "+json")
}

var (
	errNoScalar = errors.New("an extension is a text, a number or a boolean")
	errTooLarge = errors.New("the number is too large")
)

func extension(value json.RawMessage) (any, error) {
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	case 't', 'f':
		return value[0] == 't', nil
	case '{', '[':
		return nil, errNoScalar
	}
	text := string(value)
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return int32(n), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errTooLarge
	}
	return f, nil
}

// Encode writes an event in the JSON format. Attributes that the format cannot hold as they are (names that are no
// CloudEvents names or are there before, types beyond text, int32 and boolean) are the rest: the broker carries them as headers.
func Encode(ev *eventflow.Event) (body []byte, rest eventflow.Attributes, err error) {
	for _, a := range [...]struct{ field, value string }{{"ID", ev.ID}, {"Source", ev.Source}, {"Type", ev.Type}} {
		if a.value == "" {
			return nil, nil, &eventflow.ConfigError{Field: "Event." + a.field, Allowed: "a value: an event in structured mode needs it"}
		}
	}
	body = append(make([]byte, 0, 256+len(ev.Data)), '{')
	Each(ev, func(name, value string) {
		if !utf8.ValidString(value) {
			err = &eventflow.ConfigError{Field: "Event, " + name, Value: strconv.QuoteToASCII(value), Allowed: "UTF-8"}
		}
		body = member(body, name, value)
	})
	if err != nil {
		return nil, nil, err
	}
	for i, a := range ev.Attributes {
		text, isText := a.Value.(string)
		number, isNumber := a.Value.(int32)
		truth, isTruth := a.Value.(bool)
		before := slices.ContainsFunc(ev.Attributes[:i], func(b eventflow.Attribute) bool { return b.Name == a.Name })
		switch {
		case !IsName(a.Name) || before:
			rest = append(rest, a)
		case isText && utf8.ValidString(text):
			body = member(body, a.Name, text)
		case isNumber:
			body = strconv.AppendInt(name(body, a.Name), int64(number), 10)
		case isTruth:
			body = strconv.AppendBool(name(body, a.Name), truth)
		default:
			rest = append(rest, a)
		}
	}
	switch {
	case ev.Data == nil:
	case isJSON(ev.DataContentType) && isValue(ev.Data):
		body = append(name(body, "data"), ev.Data...)
	case !isJSON(ev.DataContentType) && utf8.Valid(ev.Data):
		body = member(body, "data", string(ev.Data))
	default:
		body = append(name(body, "data_base64"), '"')
		body = base64.StdEncoding.AppendEncode(body, ev.Data)
		body = append(body, '"')
	}
	return append(body, '}'), rest, nil
}

// isValue reports whether data can be put into a document and be taken out again byte by byte.
func isValue(data []byte) bool {
	return len(data) > 0 && len(bytes.TrimSpace(data)) == len(data) && utf8.Valid(data) && json.Valid(data)
}

func name(body []byte, name string) []byte {
	if len(body) > 1 {
		body = append(body, ',')
	}
	body = append(body, '"')
	body = append(body, name...)
	return append(body, '"', ':')
}

func member(body []byte, key, value string) []byte {
	text, err := json.Marshal(value)
	if err != nil { // a string always can be
		text = []byte(`""`)
	}
	return append(name(body, key), text...)
}
