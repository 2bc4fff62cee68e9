package eventflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventflow-go/eventflow"
)

// FuzzCall: whatever arrives, a JSON flow decodes it or says so, never panics, and what it publishes can be read again.
func FuzzCall(f *testing.F) {
	for _, s := range []string{uploadJSON, "", "null", `{"Size":1e999}`, `{"Path":"\ud800"}`, `[{"Path":1}]`, "\xff", `"x"`, strings.Repeat("[", 100)} {
		f.Add("1", "src", "key", []byte(s))
	}
	type params struct {
		Up   eventflow.EventParameter[map[string]*upload]
		Size int
	}
	one := eventflow.NewFlow("one", func(_ context.Context, up upload) (upload, error) { return up, nil })
	all := eventflow.NewFlow("all", func(_ context.Context, v any) (eventflow.Many[[]any], error) {
		return eventflow.Many[[]any]{{v}, {v}}, nil
	})
	with := eventflow.NewFlow("with", func(_ context.Context, p params) (map[string]*upload, error) { return p.Up.Value, nil })
	many := eventflow.NewFlow("many", func(_ context.Context, b eventflow.Batch[upload]) (eventflow.Many[upload], error) {
		return eventflow.Many[upload](b.Values()), nil
	})
	f.Fuzz(func(t *testing.T, id, source, key string, data []byte) {
		ev := &eventflow.Event{ID: id, Source: source, Key: key, Data: data}
		before := string(data)
		for _, flow := range []*eventflow.Flow{one, all, with, many} {
			events := []*eventflow.Event{ev}
			if flow.IsBatch() {
				events = append(events, ev)
			}
			out, err := flow.Call(t.Context(), runOf(flow, events...), nil)
			if string(data) != before {
				t.Fatal("the payload was changed")
			}
			if err != nil {
				var bad *eventflow.DecodeError
				if !errors.As(err, &bad) || bad.ID != id || bad.Source != source {
					t.Fatalf("%s: %v is no DecodeError of the event", flow.Name(), err)
				}
				if len(out) > 0 {
					t.Fatalf("%s: published %d results of what cannot be decoded", flow.Name(), len(out))
				}
				continue
			}
			for _, res := range out {
				if !json.Valid(res.Data) || !utf8.Valid(res.Data) || res.ID == "" || res.Key != key {
					t.Fatalf("%s: published %+v", flow.Name(), res)
				}
			}
		}
	})
}
