// Package cloudevents holds what the brokers share of CloudEvents 1.0 (https://github.com/cloudevents/spec): the names
// and texts of attributes, and the JSON format of structured mode.
package cloudevents

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// ContentType is what a message in structured mode is declared as.
const ContentType = "application/cloudevents+json"

// Version is the specversion that is written and understood.
const Version = "1.0"

// IsStructured reports whether a message of this content type is one event in the JSON format. A batch is not.
func IsStructured(contentType string) bool {
	if len(contentType) < len(ContentType) || !strings.EqualFold(contentType[:len(ContentType)], ContentType) {
		return false // most messages: nothing is parsed
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == ContentType
}

// IsName reports whether an attribute may be an extension of that name: lower-case ASCII letters and digits, and no name
// that has a meaning of its own.
func IsName(name string) bool {
	if name == "" || name == "data" || isCore(name) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isCore(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		return true
	}
	return false
}

// Set gives ev a core attribute by its name without the prefix of binary mode. It reports false, and changes nothing,
// when there is no core attribute of that name or its value cannot be one: the caller keeps it as a header.
func Set(ev *eventflow.Event, name, value string) bool {
	switch name {
	case "specversion":
		return value == Version
	case "id":
		ev.ID = value
	case "source":
		ev.Source = value
	case "type":
		ev.Type = value
	case "subject":
		ev.Subject = value
	case "datacontenttype":
		ev.DataContentType = value
	case "dataschema":
		ev.DataSchema = value
	case "time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return false
		}
		ev.Time = t
	default:
		return false
	}
	return true
}

// Each gives the core attributes that are set, specversion first.
func Each(ev *eventflow.Event, yield func(name, value string)) {
	yield("specversion", Version)
	for _, a := range [...]struct{ name, value string }{
		{"id", ev.ID},
		{"source", ev.Source},
		{"type", ev.Type},
		{"subject", ev.Subject},
		{"datacontenttype", ev.DataContentType},
		{"dataschema", ev.DataSchema},
	} {
		if a.value != "" {
			yield(a.name, a.value)
		}
	}
	if !ev.Time.IsZero() {
		yield("time", FormatTime(ev.Time))
	}
}

// FormatTime gives a time as RFC 3339 has it, to the nanosecond.
func FormatTime(t time.Time) string { return t.Format(time.RFC3339Nano) }

// FormatValue gives an attribute's value as text, in the canonical form of the CloudEvents type system.
func FormatValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return FormatTime(v)
	case [16]byte:
		return hex.EncodeToString(v[:4]) + "-" + hex.EncodeToString(v[4:6]) + "-" + hex.EncodeToString(v[6:8]) + "-" +
			hex.EncodeToString(v[8:10]) + "-" + hex.EncodeToString(v[10:])
	}
	return fmt.Sprint(v)
}
