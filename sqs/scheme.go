package sqs

import (
	"context"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/eventflow-go/eventflow"
)

// Scheme opens a [Broker] by URL: sqs://eu-central-1?endpoint=http://127.0.0.1:9324. The host is the region, and may be
// left out where the SDK's configuration has one; credentials are the SDK's (environment, profile, role). The parameters
// are endpoint, and those of the options visibility, longpoll, role and externalid. A user, a path or a fragment is an
// error: the URL names a broker and never a queue, and no secret.
var Scheme = eventflow.Scheme{Names: []string{"sqs"}, Open: openURL}

const urlField = "sqs URL"

func openURL(ctx context.Context, u *url.URL) (eventflow.Broker, error) {
	if u.User != nil || u.Path != "" && u.Path != "/" || u.Opaque != "" || u.Fragment != "" || u.Port() != "" {
		return nil, &eventflow.ConfigError{
			Field: urlField, Value: "sqs", Allowed: "sqs://REGION?endpoint=… without user, port, path or fragment: a queue is named when it is opened",
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil { // its text quotes the query
		return nil, &eventflow.ConfigError{Field: urlField, Value: "sqs", Allowed: "parameters in the form name=value, joined by &"}
	}
	var opts []Option
	role, externalID := query.Get("role"), query.Get("externalid")
	for name, values := range query {
		o, bad := parameter(name, values)
		if bad != nil {
			return nil, bad
		}
		if o != nil {
			opts = append(opts, o)
		}
	}
	if role != "" || externalID != "" {
		opts = append(opts, AssumeRole(role, externalID))
	}
	var load []func(*config.LoadOptions) error
	if u.Host != "" {
		load = append(load, config.WithRegion(u.Host))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, &eventflow.ConfigError{Field: urlField, Value: u.Host, Allowed: "a configuration of the SDK that can be read: " + err.Error()}
	}
	b := New(cfg, opts...)
	if err := b.Err(); err != nil {
		return nil, err
	}
	return b, nil
}

// parameter gives the option of one parameter of the URL, nil for those of the role, which belong together.
func parameter(name string, values []string) (Option, error) {
	bad := func(allowed string) (Option, error) {
		return nil, &eventflow.ConfigError{Field: urlField + ", parameter " + name, Value: hideUser(values[0]), Allowed: allowed}
	}
	known := map[string]func(time.Duration) Option{"visibility": Visibility, "longpoll": LongPoll}
	option := known[name]
	switch {
	case option == nil && name != "endpoint" && name != "role" && name != "externalid":
		// The value is not shown: who gives a parameter that does not exist may give a password.
		return nil, &eventflow.ConfigError{
			Field: urlField + ", parameter", Value: name, Allowed: "endpoint, externalid, longpoll, role or visibility",
		}
	case len(values) > 1:
		return bad("one value")
	case option != nil:
		d, err := time.ParseDuration(values[0])
		if err != nil {
			return bad("a duration such as 30s")
		}
		return option(d), nil
	case name == "endpoint":
		e, err := url.Parse(values[0])
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil {
			return nil, &eventflow.ConfigError{
				Field: urlField + ", parameter endpoint", Value: "(not shown)", Allowed: "a URL of the form http://HOST:PORT, without a user",
			}
		}
		return ClientOptions(func(o *awssqs.Options) { o.BaseEndpoint = aws.String(values[0]) }), nil
	}
	return nil, nil
}
