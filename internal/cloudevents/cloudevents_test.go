package cloudevents_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

func attributes(pairs ...any) eventflow.Attributes {
	var as eventflow.Attributes
	for i := 0; i < len(pairs); i += 2 {
		as = append(as, eventflow.Attribute{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return as
}

func whole() eventflow.Event {
	return eventflow.Event{
		ID: "A234-1234-1234", Source: "/mycontext", Type: "com.example.someevent", Subject: "larger \"context\"",
		DataContentType: "application/json", DataSchema: "https://example.com/schema",
		Time:       time.Date(2018, 4, 5, 17, 31, 0, 123456789, time.UTC),
		Attributes: attributes("text", "value\x00\u2028", "number", int32(-5), "truth", true),
		Data:       []byte(`{ "a" : 1.0, "b":"<&>" }`),
	}
}

func TestAnEventInStructuredModeComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventflow.Event){
		"JSON":                         func(*eventflow.Event) {},
		"no data":                      func(ev *eventflow.Event) { ev.Data = nil },
		"empty data":                   func(ev *eventflow.Event) { ev.Data = []byte{} },
		"JSON null":                    func(ev *eventflow.Event) { ev.Data = []byte("null") },
		"a JSON text":                  func(ev *eventflow.Event) { ev.Data = []byte(`"text"`) },
		"JSON between spaces":          func(ev *eventflow.Event) { ev.Data = []byte(" 1\n") },
		"no JSON":                      func(ev *eventflow.Event) { ev.Data = []byte("{") },
		"JSON that is no UTF-8":        func(ev *eventflow.Event) { ev.Data = []byte("\"\xff\"") },
		"JSON of a type of its own":    func(ev *eventflow.Event) { ev.DataContentType = "application/problem+json; charset=utf-8" },
		"a text that looks like JSON":  func(ev *eventflow.Event) { ev.DataContentType, ev.Data = "text/plain", []byte(`{"a":1}`) },
		"a text":                       func(ev *eventflow.Event) { ev.DataContentType, ev.Data = "text/plain", []byte("a\r\n<b>\x00é") },
		"an empty text":                func(ev *eventflow.Event) { ev.DataContentType, ev.Data = "text/plain", []byte{} },
		"bytes":                        func(ev *eventflow.Event) { ev.DataContentType, ev.Data = "image/png", []byte{0x89, 0xff, 0} },
		"no content type, JSON":        func(ev *eventflow.Event) { ev.DataContentType = "" },
		"no content type, no JSON":     func(ev *eventflow.Event) { ev.DataContentType, ev.Data = "", []byte("hello") },
		"a content type that is none":  func(ev *eventflow.Event) { ev.DataContentType = "json" },
		"a time with an offset":        func(ev *eventflow.Event) { ev.Time = ev.Time.In(time.FixedZone("", 3600)) },
		"only what every event has":    func(ev *eventflow.Event) { *ev = eventflow.Event{ID: "1", Source: "s", Type: "t"} },
		"names of the format's own":    func(ev *eventflow.Event) { ev.Attributes = attributes("dataref", "x", "database64", "y") },
		"an ID with every odd charact": func(ev *eventflow.Event) { ev.ID = "\t\"\\/\x7f\U0001F600" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := whole()
			change(&ev)
			body, rest, err := cloudevents.Encode(&ev)
			require.NoError(t, err)
			require.Empty(t, rest)
			back := eventflow.Event{}
			require.NoError(t, cloudevents.Decode(body, &back), "%s", body)
			require.True(t, ev.Time.Equal(back.Time))
			back.Time = ev.Time
			require.Equal(t, ev, back, "%s", body)
		})
	}
}

func TestWhatTheFormatCannotHoldIsLeftForTheHeaders(t *testing.T) {
	t.Parallel()
	ev := whole()
	odd := attributes(
		"X-Header", "1", "text", "again", "", "no name", "data", "x", "id", "other", "long", int64(1), "float", 1.5,
		"bytes", []byte{1}, "time2", ev.Time, "uuid", [16]byte{1}, "broken", "\xff",
	)
	ev.Attributes = append(ev.Attributes, odd...)
	body, rest, err := cloudevents.Encode(&ev)
	require.NoError(t, err)
	require.Equal(t, odd, rest)
	back := eventflow.Event{Key: "k", Attributes: rest}
	require.NoError(t, cloudevents.Decode(body, &back))
	require.Equal(t, "k", back.Key)
	require.Equal(t, append(odd, whole().Attributes...), back.Attributes)
}

func TestAnEventThatStructuredModeCannotCarryIsRefusedByField(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*eventflow.Event){
		"Event.ID":       func(ev *eventflow.Event) { ev.ID = "" },
		"Event.Source":   func(ev *eventflow.Event) { ev.Source = "" },
		"Event.Type":     func(ev *eventflow.Event) { ev.Type = "" },
		"Event, subject": func(ev *eventflow.Event) { ev.Subject = "\xff" },
	} {
		ev := whole()
		change(&ev)
		_, _, err := cloudevents.Encode(&ev)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
}

// The examples of the JSON format's specification, version 1.0.2, section 3.2.
func TestTheSpecificationsExamplesAreRead(t *testing.T) {
	t.Parallel()
	const head = `"specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": null, "id" : "A234", "time" : "2018-04-05T17:31:00Z",
		"comexampleextension1" : "value", "comexampleothervalue" : 5, "unsetextension": null,`
	for rest, data := range map[string]string{
		`"datacontenttype" : "application/vnd.apache.thrift.binary", "data_base64" : "AAEC"`:         "\x00\x01\x02",
		`"datacontenttype" : "application/json", "data" : { "appinfoA" : "abc", "appinfoC" : true }`: `{ "appinfoA" : "abc", "appinfoC" : true }`,
		`"datacontenttype" : "application/json", "data" : 1.5`:                                       `1.5`,
		`"datacontenttype" : "application/json", "data" : "a text"`:                                  `"a text"`,
		`"data" : "a text"`: `"a text"`,
		`"datacontenttype" : "text/xml", "data" : "<much wow=\"xml\"/>"`: `<much wow="xml"/>`,
		`"datacontenttype" : "text/xml", "data" : [1]`:                   `[1]`,
	} {
		var ev eventflow.Event
		require.NoError(t, cloudevents.Decode([]byte("{"+head+rest+"}"), &ev), rest)
		require.Equal(t, data, string(ev.Data))
		require.Equal(t, "A234", ev.ID)
		require.Equal(t, attributes("comexampleextension1", "value", "comexampleothervalue", int32(5)), ev.Attributes)
	}
}

func TestWhatIsNoCloudEventLeavesTheEventAsItWas(t *testing.T) {
	t.Parallel()
	const ok = `"specversion":"1.0","id":"1","source":"s","type":"t"`
	for _, body := range []string{
		"", "null", "[]", "1", "{", "{}", "{" + ok, "{" + ok + "}}", "{" + ok + "} {}", "{" + ok + ",}", `{"specversion":"0.3","id":"1","source":"s","type":"t"}`,
		`{"specversion":1.0,"id":"1","source":"s","type":"t"}`, `{"id":"1","source":"s","type":"t"}`, `{"specversion":"1.0","id":"","source":"s","type":"t"}`,
		"{" + ok + `,"id":"2"}`, "{" + ok + `,"x":{}}`, "{" + ok + `,"x":[]}`, "{" + ok + `,"x":1e999}`, "{" + ok + `,"time":"today"}`, "{" + ok + `,"subject":1}`,
		"{" + ok + `,"data":1,"data_base64":"AA=="}`, "{" + ok + `,"data_base64":"!"}`, "{" + ok + `,"data_base64":1}`,
		"{" + ok + `,"x":nul}`,
	} {
		was := eventflow.Event{ID: "was", Key: "k", Data: []byte("was"), Attributes: attributes("a", "b")}
		ev := was
		require.ErrorIs(t, cloudevents.Decode([]byte(body), &ev), cloudevents.ErrNotEvent, body)
		require.Equal(t, was, ev, body)
	}
}

func TestStructuredModeIsToldByItsContentType(t *testing.T) {
	t.Parallel()
	for _, yes := range []string{"application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8", "application/cloudevents+json;charset=utf-8"} {
		require.True(t, cloudevents.IsStructured(yes), yes)
	}
	for _, no := range []string{"", "application/json", "application/cloudevents", "application/cloudevents-batch+json", "application/cloudevents+jsonx", "application/cloudevents+json; ="} {
		require.False(t, cloudevents.IsStructured(no), no)
	}
}

func TestCoreAttributesComeBackFromTheirTexts(t *testing.T) {
	t.Parallel()
	ev, back := whole(), eventflow.Event{}
	first := ""
	cloudevents.Each(&ev, func(name, value string) {
		if first == "" {
			first = name
		}
		require.True(t, cloudevents.Set(&back, name, value), name)
	})
	require.Equal(t, "specversion", first)
	back.Attributes, back.Data = ev.Attributes, ev.Data
	require.Equal(t, ev, back)
	for name, value := range map[string]string{"specversion": "2.0", "time": "noon", "other": "x", "ID": "x"} {
		require.False(t, cloudevents.Set(&back, name, value), name)
	}
	require.Equal(t, ev, back)
}

func TestValuesHaveOneText(t *testing.T) {
	t.Parallel()
	for text, v := range map[string]any{
		"x": "x", "true": true, "-1": int32(-1), "9223372036854775807": int64(1<<63 - 1), "0.1": 0.1, "AQI=": []byte{1, 2},
		"2018-04-05T17:31:00.123456789Z":       whole().Time,
		"01020304-0506-0708-090a-0b0c0d0e0f10": [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		"7":                                    uint8(7),
	} {
		require.Equal(t, text, cloudevents.FormatValue(v))
	}
}

func FuzzDecode(f *testing.F) {
	ev := whole()
	body, _, _ := cloudevents.Encode(&ev)
	f.Add(body)
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AA==","x":1e3}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var ev eventflow.Event
		if cloudevents.Decode(body, &ev) != nil {
			return
		}
		again, rest, err := cloudevents.Encode(&ev)
		require.NoError(t, err)
		back := eventflow.Event{Attributes: rest}
		require.NoError(t, cloudevents.Decode(again, &back), "%s", again)
		require.True(t, ev.Time.Equal(back.Time), "%s", again)
		require.Equal(t, ev.Data, back.Data)
		require.Len(t, back.Attributes, len(ev.Attributes))
	})
}
