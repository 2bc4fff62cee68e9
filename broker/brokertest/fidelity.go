package brokertest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

func fidelityRules() []rule {
	return []rule{
		{name: "AttributesOfCloudEventsSurvive", run: attributesOfCloudEventsSurvive},
		{name: "KeySurvives", run: keySurvives},
		{name: "TimeSurvivesToTheNanosecond", run: timeSurvives},
		{name: "ExtensionsKeepTheirTypes", run: extensionsKeepTheirTypes},
		{name: "ExtensionsKeepTheirOrderAndRepeat", run: extensionsKeepTheirOrder},
		{name: "EveryByteSurvives", run: everyByteSurvives},
		{name: "EmptyDataIsEmpty", run: emptyDataIsEmpty},
		{name: "EmptyDataIsNotNoData", run: emptyDataIsNotNoData},
		{name: "UnusualTextSurvives", run: unusualTextSurvives},
		{name: "UnusualKeysSurvive", run: unusualKeysSurvive},
		{name: "UnusualExtensionNamesSurvive", run: unusualExtensionNamesSurvive},
		{name: "RedeliveredEventIsTheSame", run: redeliveredEventIsTheSame},
	}
}

// same fails the rule unless the delivery's event is the one of evs with its ID, in everything that was set.
func (b *bench) same(d *eventflow.Delivery, evs ...eventflow.Event) {
	b.Helper()
	for i := range evs {
		if evs[i].ID != d.Event.ID {
			continue
		}
		for _, x := range differences(&evs[i], &d.Event) {
			b.Errorf("event %q: %s", d.Event.ID, x)
		}
		return
	}
	b.Errorf("event %q was never published", d.Event.ID)
}

// differences says how got differs from want. Attributes that a broker adds of its own are none.
func differences(want, got *eventflow.Event) []string {
	var out []string
	for _, x := range []struct{ name, want, got string }{
		{"ID", want.ID, got.ID}, {"Source", want.Source, got.Source}, {"Type", want.Type, got.Type},
		{"Subject", want.Subject, got.Subject}, {"DataContentType", want.DataContentType, got.DataContentType},
		{"DataSchema", want.DataSchema, got.DataSchema}, {"Key", want.Key, got.Key},
	} {
		if x.want != x.got {
			out = append(out, fmt.Sprintf("%s is %s, want %s", x.name, short(x.got), short(x.want)))
		}
	}
	if !want.Time.IsZero() && !want.Time.Equal(got.Time) {
		out = append(out, fmt.Sprintf("Time is %v, want %v", got.Time, want.Time))
	}
	if !bytes.Equal(want.Data, got.Data) {
		out = append(out, fmt.Sprintf("Data is %d bytes, %s, want %d, %s", len(got.Data), short(string(got.Data)), len(want.Data), short(string(want.Data))))
	}
	return append(out, extensionDifferences(want.Attributes, got.Attributes)...)
}

// extensionDifferences compares the attributes of the names that were published, in order.
func extensionDifferences(want, got eventflow.Attributes) []string {
	published := map[string]bool{}
	for _, a := range want {
		published[a.Name] = true
	}
	var mine eventflow.Attributes
	for _, a := range got {
		if published[a.Name] {
			mine = append(mine, a)
		}
	}
	if len(mine) != len(want) {
		return []string{fmt.Sprintf("%d of %d extension attributes arrived: %v", len(mine), len(want), mine)}
	}
	var out []string
	for i := range want {
		if want[i].Name != mine[i].Name || !equalValues(want[i].Value, mine[i].Value) {
			out = append(out, fmt.Sprintf("extension attribute %d is %q = %T(%v), want %q = %T(%v)",
				i+1, mine[i].Name, mine[i].Value, mine[i].Value, want[i].Name, want[i].Value, want[i].Value))
		}
	}
	return out
}

func equalValues(want, got any) bool {
	switch w := want.(type) {
	case []byte:
		g, ok := got.([]byte)
		return ok && bytes.Equal(w, g)
	case time.Time:
		g, ok := got.(time.Time)
		return ok && w.Equal(g)
	}
	return want == got
}

func short(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// roundTrip publishes events and compares what is handed over.
func (b *bench) roundTrip(evs ...eventflow.Event) {
	b.Helper()
	c := b.subscribe()
	b.publish(evs...)
	ds := c.take(len(evs))
	b.expect("published", ds, idsIn(evs)...)
	for _, d := range ds {
		b.same(d, evs...)
	}
}

func attributesOfCloudEventsSurvive(b *bench) {
	evs := b.events(4)
	evs[0].Subject, evs[0].DataContentType, evs[0].DataSchema = "uploads/7.png", "application/json", "https://example.com/schema/1"
	evs[1].Source, evs[1].DataContentType = "https://example.com/a?b=c#d", "text/plain; charset=utf-8"
	evs[2].Source, evs[2].Type = "urn:example:printer:7", "com.example.paper.jammed"
	evs[2].Data = []byte(`{"specversion":"1.0","id":"of the payload, not of the event"}`)
	evs[3].DataContentType, evs[3].Data = "application/json", []byte(`{"a":[1,2,{"b":null}]}`)
	b.roundTrip(evs...)
}

func keySurvives(b *bench) {
	evs := b.events(3)
	b.roundTrip(evs...)
}

func timeSurvives(b *bench) {
	evs := b.events(4)
	evs[0].Time = time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC)
	evs[1].Time = time.Date(1999, 12, 31, 23, 59, 59, 999999999, time.FixedZone("", -5*3600-1800))
	evs[2].Time = time.Date(2150, 1, 1, 0, 0, 0, 1, time.UTC)
	evs[3].Time = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	b.roundTrip(evs...)
}

func extensionsKeepTheirTypes(b *bench) {
	evs := b.events(1)
	evs[0].Attributes = eventflow.Attributes{
		{Name: "text", Value: "a text"},
		{Name: "number", Value: "42"}, // a string that looks like something else stays one
		{Name: "yes", Value: true},
		{Name: "no", Value: false},
		{Name: "small", Value: int32(math.MinInt32)},
		{Name: "large", Value: int64(math.MaxInt64)},
		{Name: "ratio", Value: 0.1},
		{Name: "binary", Value: []byte{0, 1, 0xfe, 0xff}},
		{Name: "moment", Value: time.Date(2024, 2, 29, 1, 2, 3, 456789012, time.UTC)},
		{Name: "uuid", Value: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff}},
	}
	b.roundTrip(evs...)
}

func extensionsKeepTheirOrder(b *bench) {
	evs := b.events(1)
	evs[0].Attributes = eventflow.Attributes{
		{Name: "zebra", Value: "1"}, {Name: "trace", Value: "2"}, {Name: "ant", Value: "3"},
		{Name: "trace", Value: "4"}, {Name: "trace", Value: "2"}, {Name: "bee", Value: "5"},
	}
	b.roundTrip(evs...)
}

func allBytes() []byte {
	out := make([]byte, 256)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

func everyByteSurvives(b *bench) {
	all := allBytes()
	evs := b.events(8)
	for i, data := range [][]byte{
		all,
		bytes.Repeat(all, 40),
		{0},
		{0xff, 0xfe, 0xfd},
		[]byte("\xef\xbb\xbfwith a byte order mark\r\n\x1a"),
		[]byte("na\u00efve \u2603 \U0001F600 \u0000 \ufffe \uffff"),
		[]byte("\xed\xa0\x80 is half a surrogate pair"),
		[]byte(strings.Repeat(" ", 300) + "\n"),
	} {
		evs[i].Data = data
	}
	b.roundTrip(evs...)
}

func emptyDataIsEmpty(b *bench) {
	evs := b.events(3)
	evs[0].Data, evs[1].Data = nil, []byte{}
	b.roundTrip(evs...)
}

func emptyDataIsNotNoData(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	evs[0].Data, evs[1].Data = nil, []byte{}
	b.publish(evs...)
	ds := byID(c.take(2), evs)
	if ds[0].Event.Data != nil {
		b.Errorf("no data became %d bytes of data", len(ds[0].Event.Data))
	}
	if ds[1].Event.Data == nil || len(ds[1].Event.Data) != 0 {
		b.Errorf("empty data became nil: %v, %d bytes", ds[1].Event.Data == nil, len(ds[1].Event.Data))
	}
}

// unusual is text that breaks what is pasted together, escaped once too often or counted in runes.
var unusual = []string{
	"a b", " lead and trail ", "tab\tline\nfeed\r\n", "quote\"quote'`", "per%20cent%", "plus+and&more=1;2,3",
	"back\\slash/slash", "na\u00efve caf\u00e9 e\u0301", "\u4e2d\u6587 \u0440\u0443\u0441 \u05e2\u05d1\u05e8", "\U0001F600\U0001F468\u200d\U0001F469",
	"{\"json\":true}", "<xml a='b'>&amp;</xml>", "NULL", "\u0000nul\u0000", "\x01\x1f\x7f", strings.Repeat("long ", 40),
}

func unusualTextSurvives(b *bench) {
	evs := b.events(len(unusual))
	for i, s := range unusual {
		evs[i].Subject = s
		evs[i].ID += " " + s
		evs[i].Attributes = eventflow.Attributes{{Name: "note", Value: s}, {Name: "after", Value: "plain"}}
	}
	evs[0].Attributes = append(evs[0].Attributes, eventflow.Attribute{Name: "empty", Value: ""})
	b.roundTrip(evs...)
}

func unusualKeysSurvive(b *bench) {
	keys := append([]string{strings.Repeat("k", 127), strings.Repeat("\u2603", 60), "\xff\xfe not UTF-8"}, unusual...)
	evs := make([]eventflow.Event, len(keys))
	for i, k := range keys {
		evs[i] = newEvent(fmt.Sprintf("e-%d", i+1), k)
	}
	b.roundTrip(evs...)
}

func unusualExtensionNamesSurvive(b *bench) {
	evs := b.events(1)
	for i, name := range []string{"x", "UPPER", "with-dash", "with.dot", "with_underscore", "with space", "na\u00efve", strings.Repeat("n", 200)} {
		evs[0].Attributes = append(evs[0].Attributes, eventflow.Attribute{Name: name, Value: fmt.Sprintf("value %d", i)})
	}
	b.roundTrip(evs...)
}

func redeliveredEventIsTheSame(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	for i := range evs {
		evs[i].Subject, evs[i].DataContentType = "subject", "text/plain"
		evs[i].Time = time.Date(2024, 2, 29, 1, 2, 3, 456000000, time.UTC)
		evs[i].Attributes = eventflow.Attributes{{Name: "trace", Value: fmt.Sprintf("t-%d", i)}, {Name: "note", Value: "n"}}
	}
	b.publish(evs...)
	for _, how := range []func([]*eventflow.Delivery){
		func(ds []*eventflow.Delivery) { eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Nack}) },
		func(ds []*eventflow.Delivery) {
			eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Release})
		},
		func([]*eventflow.Delivery) {
			c.close()
			c = b.subscribe()
		},
		func(ds []*eventflow.Delivery) { ack(ds...) },
	} {
		ds := c.take(len(evs))
		for _, d := range ds {
			b.same(d, evs...)
		}
		how(ds)
	}
}
