package servicebus

import (
	"context"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/eventflow-go/eventflow"
)

// Scheme opens a [Broker] by URL with a shared access key: servicebus://KEYNAME:KEY@NAMESPACE, both percent-encoded. A
// namespace without a dot gets ".servicebus.windows.net" behind it. With ?emulator=true it is an emulator or package
// servicebustest, spoken to without TLS. A path is an error: the URL names a broker, never an entity.
var Scheme = SchemeWith(nil)

// SchemeWith is [Scheme] for URLs without a key, servicebus://NAMESPACE: they are opened with the credential.
func SchemeWith(cred azcore.TokenCredential) eventflow.Scheme {
	return eventflow.Scheme{Names: []string{"servicebus"}, Open: func(_ context.Context, u *url.URL) (eventflow.Broker, error) {
		return openURL(u, cred)
	}}
}

const urlField = "broker.Open URL"

func openURL(u *url.URL, cred azcore.TokenCredential) (eventflow.Broker, error) {
	bad := func(allowed string) (eventflow.Broker, error) {
		return nil, &eventflow.ConfigError{Field: urlField, Value: "servicebus", Allowed: allowed}
	}
	if u.Host == "" || u.Path != "" || u.Opaque != "" || u.Fragment != "" {
		return bad("servicebus://KEYNAME:KEY@NAMESPACE or servicebus://NAMESPACE, without path or fragment: an entity is named when it is opened")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil { // its text quotes the query
		return bad("parameters in the form name=value, joined by &")
	}
	emulator := false
	for name, values := range query {
		if name != "emulator" || len(values) != 1 || values[0] != "true" && values[0] != "false" {
			return bad("no parameter but emulator=true or emulator=false")
		}
		emulator = values[0] == "true"
	}
	host := u.Host
	if !strings.ContainsAny(host, ".:") && !emulator {
		host += ".servicebus.windows.net"
	}
	name := u.User.Username()
	key, hasKey := u.User.Password()
	switch {
	case hasKey && name != "" && key != "" && !strings.Contains(name+key, ";"):
		cs := "Endpoint=sb://" + host + ";SharedAccessKeyName=" + name + ";SharedAccessKey=" + key
		if emulator {
			cs += ";UseDevelopmentEmulator=true"
		}
		return brokerOf(New(Config{ConnectionString: cs}))
	case u.User != nil:
		return bad("a key's name and the key, both percent-encoded, before the @")
	case cred == nil:
		return bad("servicebus://KEYNAME:KEY@NAMESPACE; without a key, a scheme made by servicebus.SchemeWith and a credential")
	case emulator:
		return bad("a key beside emulator=true")
	}
	return brokerOf(New(Config{Namespace: host, Credential: cred}))
}

// brokerOf keeps a nil *Broker from becoming a Broker that is not nil.
func brokerOf(b *Broker, err error) (eventflow.Broker, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}
