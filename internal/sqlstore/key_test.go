package sqlstore

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestKeyComesBackAsItWas(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxKey)
	seen := make(map[string]eventflow.Key)
	for _, k := range []eventflow.Key{
		{}, {Flow: "a", Binding: "b", Source: "c", ID: "d", Redrive: 3}, {Flow: "ab"}, {Binding: "ab"}, {Source: "ab"}, {ID: "ab"}, {Flow: "a", Binding: "b"},
		{Redrive: 1}, {Redrive: -1}, {ID: "\x00\xff"}, {ID: long}, {Source: long}, {ID: long, Redrive: 1}, {ID: long[:maxKey-16]}, {ID: string(digest([]byte(long)))},
	} {
		key, rest := identify(&k)
		require.NotNil(t, rest)
		require.LessOrEqual(t, len(key), maxKey)
		require.NotContains(t, seen, string(key))
		seen[string(key)] = k
		back, err := restore(key, rest)
		require.NoError(t, err)
		require.Equal(t, k, back)
	}
}

func TestKeysOfOneSourceStandTogether(t *testing.T) {
	t.Parallel()
	at := func(source, id string) []byte {
		key, _ := identify(&eventflow.Key{Flow: "f", Source: source, ID: id})
		return key
	}
	require.Negative(t, bytes.Compare(at("s", "0001"), at("s", "0002")))
	require.Negative(t, bytes.Compare(at("s", "9999"), at("t", "0001")))
}

func TestDamagedKeyIsAnError(t *testing.T) {
	t.Parallel()
	key, _ := identify(&eventflow.Key{Flow: "flow", Binding: "binding", Source: "source", ID: "id", Redrive: 1})
	for n := range key {
		_, err := restore(key[:n], nil)
		require.Error(t, err)
	}
	_, err := restore(append(key, 0), nil)
	require.Error(t, err)
	_, err = restore(digest([]byte("no rest")), nil)
	require.Error(t, err)
}
