package kafka

import (
	"context"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// Scheme opens a [Broker] by URL, which names the cluster and never a topic:
//
//	kafka://host1,host2:9092?tls=true&sasl=scram-sha-512
//
// The port is that of every host; hosts with ports of their own are given as seed=host:port, as often as needed. User
// and password of the URL are those of the SASL mechanism, percent-encoded. The parameters: tls (true or false), ca, cert
// and key (files, as PEM, which imply tls), sasl (plain, scram-sha-256 or scram-sha-512; plain when the URL has a user),
// clientid, maxeventbytes, insecureplaintext (true or false), seed.
var Scheme = eventflow.Scheme{Names: []string{"kafka"}, Open: openURL}

func openURL(_ context.Context, u *url.URL) (eventflow.Broker, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	b, err := New(c)
	if err != nil {
		return nil, err
	}
	return b, nil
}

const urlField = "kafka.Scheme URL"

func parameterError(name, value, allowed string) error {
	return &eventflow.ConfigError{Field: urlField + ", parameter " + name, Value: value, Allowed: allowed}
}

func parseURL(u *url.URL) (Config, error) {
	var c Config
	if u.Path != "" && u.Path != "/" || u.Opaque != "" || u.Fragment != "" {
		return c, &eventflow.ConfigError{
			Field: urlField, Value: "a path or a fragment", Allowed: "kafka://host1,host2:9092?… without either: a topic is named when it is opened",
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil { // its text quotes the query
		return c, &eventflow.ConfigError{Field: urlField, Value: "(not shown)", Allowed: "parameters in the form name=value, joined by &"}
	}
	for h := range strings.SplitSeq(u.Hostname(), ",") {
		if h != "" {
			port := u.Port()
			if port == "" {
				port = strconv.Itoa(defaultPort)
			}
			c.Seeds = append(c.Seeds, net.JoinHostPort(h, port))
		}
	}
	p := parameters{query: query}
	c.Seeds = append(c.Seeds, query["seed"]...)
	c.ClientID = p.one("clientid")
	c.MaxEventBytes = p.number("maxeventbytes")
	c.InsecurePlaintext = p.truth("insecureplaintext")
	ca, cert, key := p.file("ca"), p.file("cert"), p.file("key")
	if p.truth("tls") || ca != nil || cert != nil || key != nil {
		if c.TLS, err = TLS(ca, cert, key); err != nil && p.err == nil {
			p.err = err
		}
	}
	p.login(u.User, &c)
	p.unknown()
	return c, p.err
}

// parameters are those of a URL; err is the first mistake.
type parameters struct {
	query url.Values
	err   error
}

var parameterNames = []string{"ca", "cert", "clientid", "insecureplaintext", "key", "maxeventbytes", "sasl", "seed", "tls"}

func (p *parameters) fail(name, value, allowed string) {
	if p.err == nil {
		p.err = parameterError(name, value, allowed)
	}
}

func (p *parameters) one(name string) string {
	if len(p.query[name]) > 1 {
		p.fail(name, "given twice", "one value")
	}
	return p.query.Get(name)
}

func (p *parameters) number(name string) int {
	v := p.one(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		p.fail(name, v, "a whole number above 0")
	}
	return n
}

func (p *parameters) truth(name string) bool {
	switch v := p.one(name); v {
	case "true":
		return true
	case "", "false":
	default:
		p.fail(name, v, "true or false")
	}
	return false
}

func (p *parameters) file(name string) []byte {
	path := p.one(name)
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path) //nolint:gosec // whoever writes the URL of a broker says where its certificates are
	if err != nil {
		p.fail(name, path, "a file that can be read")
	}
	return b
}

// login gives the mechanism of the user and the password.
func (p *parameters) login(user *url.Userinfo, c *Config) {
	mechanism := p.one("sasl")
	if user == nil {
		if mechanism != "" {
			p.fail("sasl", mechanism, "a user and a password beside it: kafka://USER:PASSWORD@host")
		}
		return
	}
	password, _ := user.Password()
	switch mechanism {
	case "", "plain":
		c.SASL = Plain(user.Username(), password)
	case "scram-sha-256":
		c.SASL = ScramSHA256(user.Username(), password)
	case "scram-sha-512":
		c.SASL = ScramSHA512(user.Username(), password)
	default:
		p.fail("sasl", mechanism, "plain, scram-sha-256 or scram-sha-512")
	}
}

// unknown refuses what is no parameter. The value is not shown: who gives a parameter that does not exist may give a
// password.
func (p *parameters) unknown() {
	for name := range p.query {
		if !slices.Contains(parameterNames, name) && p.err == nil {
			p.err = &eventflow.ConfigError{Field: urlField + ", parameter", Value: name, Allowed: strings.Join(parameterNames, ", ")}
		}
	}
}
