package storetest

import (
	"strings"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

var keyRules = []rule{
	{Name: "FlowIsPartOfTheKey", Run: otherKey(func(k *eventflow.Key) { k.Flow = "another" })},
	{Name: "BindingIsPartOfTheKey", Run: otherKey(func(k *eventflow.Key) { k.Binding = "another" })},
	{Name: "SourceIsPartOfTheKey", Run: otherKey(func(k *eventflow.Key) { k.Source = "another" })},
	{Name: "RedriveIsPartOfTheKey", Run: otherKey(func(k *eventflow.Key) { k.Redrive = 1 })},
	{Name: "OddKeysDoNotCollide", Run: func(t T, h Harness) {
		// IDs come from outside: whatever bytes they are, two of them are two runs.
		s := open(t, h)
		cs := make([]store.Claim, len(oddKeys))
		for i, k := range oddKeys {
			cs[i].Key = k
		}
		s.claimAll(alice, long, cs)
		var fs []store.Finish
		for i := range cs {
			s.want(&cs[i], store.Granted)
			if cs[i].Key != oddKeys[i] {
				t.Errorf("the key %q became %q", oddKeys[i], cs[i].Key)
			}
			if i%2 == 0 {
				fs = append(fs, finishOf(&cs[i], store.Terminal))
			}
		}
		s.finishAll(alice, fs)
		for i, k := range oddKeys {
			c := s.claim(bob, long, k)
			if want := [...]store.Status{store.Done, store.Held}[i%2]; c.Status != want {
				t.Errorf("%q is %v, want %v", k, c.Status, want)
			}
		}
	}},
}

// otherKey is the rule that a key which differs in one part is another key.
func otherKey(change func(*eventflow.Key)) func(T, Harness) {
	return func(t T, h Harness) {
		s := open(t, h)
		one, two := event("1"), event("1")
		change(&two)
		c1 := s.granted(alice, long, one)
		c2 := s.granted(alice, long, two)
		s.end(alice, c1, store.Terminal)
		s.want(s.claim(bob, long, two), store.Held)
		s.end(alice, c2, store.Failed)
		s.want(s.claim(bob, long, one), store.Done)
		s.wantAttempts(s.claim(bob, long, two), 1)
	}
}

var oddKeys = func() []eventflow.Key {
	kib := strings.Repeat("k", 1023)
	ids := []string{
		"", " ", "  ", "a", "A", "a ", " a", "0", "00", "NULL", "\x00", "a\x00", "a\x00b", "a\x00\x00b", "\xff", "\xff\xfe", "\xc3\x28",
		"é", "e\u0301", "日本語", "🙂", "\u202e", "a/b", "a%2Fb", "a%252Fb", "a#1", "%", "_", "*", "'; DROP TABLE runs; --", `"`, `\`, `\\`,
		"a\nb", "a\r\nb", "\t", "{}", "[1]", kib + "a", kib + "b", kib, "a" + kib,
	}
	keys := []eventflow.Key{
		{}, // every part empty
		{Flow: "a/b", Binding: "c"}, {Flow: "a", Binding: "b/c"}, {Flow: "a", Binding: "b", Source: "c"},
		{Flow: "ab"}, {Binding: "ab"}, {Source: "ab"}, {Flow: "a", Binding: "b"}, {Flow: "a", Source: "b"}, {Binding: "a", Source: "b"},
		{Flow: "a\x00", Binding: "b"}, {Flow: "a", Binding: "\x00b"}, {Flow: "f", ID: "1#2"}, {Flow: "f", ID: "1", Redrive: 2},
		{Flow: "f", ID: "1", Redrive: 12}, {Flow: "f", ID: "11", Redrive: 2}, {Flow: "f", ID: "1", Redrive: 1 << 30},
	}
	for _, id := range ids {
		keys = append(keys, eventflow.Key{Flow: "odd", Binding: "b", Source: "s", ID: id}, eventflow.Key{Flow: "odd", Binding: "b", Source: id, ID: "s"})
	}
	return keys
}()
