package broker

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Scheme opens a [Memory] by URL: memory://?capacity=1000&lease=5s. The parameters are those of the options: capacity,
// capacitybytes, deadlettercapacity, lease, maxevent, maxreceives, failwhenfull (true or false). A host, a user or a
// path is an error, because the URL names a broker and never a topic. Each Open makes a broker of its own; two share
// nothing.
var Scheme = eventflow.Scheme{Names: []string{"memory"}, Open: openMemory}

var numbers = map[string]func(int) MemoryOption{
	"capacity":           Capacity,
	"capacitybytes":      CapacityBytes,
	"deadlettercapacity": DeadLetterCapacity,
	"maxevent":           MaxEvent,
	"maxreceives":        MaxReceives,
}

func openMemory(_ context.Context, u *url.URL) (eventflow.Broker, error) {
	if u.Host != "" || u.User != nil || u.Path != "" || u.Opaque != "" || u.Fragment != "" {
		return nil, &eventflow.ConfigError{
			Field: urlField, Value: "memory", Allowed: "memory://?capacity=… without host, user, path or fragment: a topic is named when it is opened",
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil { // its text quotes the query
		return nil, &eventflow.ConfigError{Field: urlField, Value: "memory", Allowed: "parameters in the form name=value, joined by &"}
	}
	var opts []MemoryOption
	for name, values := range query {
		o, err := parameter(name, values)
		if err != nil {
			return nil, err
		}
		opts = append(opts, o...)
	}
	m := NewMemory(opts...)
	if err := m.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

func parameter(name string, values []string) ([]MemoryOption, error) {
	bad := func(allowed string) ([]MemoryOption, error) {
		return nil, &eventflow.ConfigError{Field: urlField + ", parameter " + name, Value: values[0], Allowed: allowed}
	}
	number := numbers[name]
	if number == nil && name != "lease" && name != "failwhenfull" {
		// The value is not shown: who gives a parameter that does not exist may give a password.
		return nil, &eventflow.ConfigError{
			Field: urlField + ", parameter", Value: name,
			Allowed: "capacity, capacitybytes, deadlettercapacity, failwhenfull, lease, maxevent or maxreceives",
		}
	}
	switch {
	case len(values) > 1:
		return bad("one value")
	case number != nil:
		n, err := strconv.Atoi(values[0])
		if err != nil {
			return bad("a whole number")
		}
		return []MemoryOption{number(n)}, nil
	case name == "lease":
		d, err := time.ParseDuration(values[0])
		if err != nil {
			return bad("a duration such as 30s")
		}
		return []MemoryOption{Lease(d)}, nil
	}
	switch values[0] {
	case "true":
		return []MemoryOption{FailWhenFull()}, nil
	case "false":
		return nil, nil
	}
	return bad("true or false")
}
