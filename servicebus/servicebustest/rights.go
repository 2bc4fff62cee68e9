package servicebustest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// Rights are what the holder of a key or token may do.
type Rights uint8

// The service's three. Listen is for receiving, settling, renewing, peeking and sessions; Send for sending, also of what
// its own annotation schedules; scheduling and cancelling by a request take both; Manage includes both.
const (
	Listen Rights = 1 << iota
	Send
	Manage
)

// any reports whether one of these rights is given, all whether each is.
func (r Rights) any(of Rights) bool { return r&(of|Manage) != 0 }
func (r Rights) all(of Rights) bool { return r&Manage != 0 || r&of == of }

// rootKey is the name of the key that every namespace begins with.
const rootKey = "RootManageSharedAccessKey"

// key is a shared access policy.
type key struct {
	secret string
	rights Rights
	entity string // "" for the whole namespace
}

// claim is what a connection was granted by a token.
type claim struct {
	rights  Rights
	expires time.Time
}

const noRights = "amqp:unauthorized-access" //nolint:misspell // AMQP's word

// maxClaims bounds what one connection may hold tokens for.
const maxClaims = 1000

// Grant makes a key with these rights and returns a connection string that uses it, as the portal does for a shared
// access policy. An entity narrows it to a queue, a topic with its subscriptions, or a subscription ("t/Subscriptions/s"),
// which need not exist yet; "" is the whole namespace.
func (s *Server) Grant(r Rights, entity string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connectionString(s.grant(fmt.Sprintf("key-%d", len(s.keys)), r, canonical(entity)), entity)
}

func (s *Server) grant(name string, r Rights, entity string) string {
	s.keys[name] = &key{base64.StdEncoding.EncodeToString([]byte(rand.Text())), r, entity}
	return name
}

func (s *Server) connectionString(name, entity string) string {
	cs := fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", s.host, name, s.keys[name].secret)
	if entity != "" {
		cs += ";EntityPath=" + entity
	}
	return cs
}

// ConnectionString has all rights to everything. It tells clients that this is an emulator, so that they speak AMQP
// without TLS.
func (s *Server) ConnectionString() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connectionString(rootKey, "")
}

// canonical is how entities are looked up: names do not tell cases apart, and clients write an address as a path or as
// a URL.
func canonical(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		_, address, _ = strings.Cut(rest, "/")
	}
	return strings.ToLower(strings.Trim(address, "/"))
}

// covers reports whether a right to one entity is one to another: to itself and to what lies under it.
func covers(granted, entity string) bool {
	rest, ok := strings.CutPrefix(entity, granted)
	return ok && (granted == "" || rest == "" || rest[0] == '/')
}

// rights are what the connection's tokens allow on an entity.
func (c *conn) rights(entity string) (r Rights) {
	for path, cl := range c.claims {
		if covers(path, entity) && time.Now().Before(cl.expires) {
			r |= cl.rights
		}
	}
	return r
}

// putToken answers a request to $cbs.
func (s *Server) putToken(c *conn, m *amqp.Message) reply {
	app := m.ApplicationProperties()
	token, ok := m.Value().(string)
	if op := app.Text("operation"); op != "put-token" || !ok {
		return fail(400, "amqp:invalid-field", "Only put-token with a token of type string is answered here.")
	}
	audience := app.Text("name")
	path := canonical(audience)
	if !strings.Contains(audience, "://") { // a host, or a host and a path
		_, path, _ = strings.Cut(audience, "/")
		path = canonical(path)
	}
	var cl claim
	var problem string
	if strings.HasPrefix(token, "SharedAccessSignature ") {
		cl, problem = s.signature(token, path)
	} else {
		cl, problem = s.bearer(token)
	}
	if problem != "" {
		return fail(401, noRights, problem)
	}
	if _, known := c.claims[path]; !known && len(c.claims) >= maxClaims {
		return fail(403, "amqp:resource-limit-exceeded", "The connection holds too many tokens.")
	}
	c.claims[path] = cl
	return reply{code: 202, text: "Accepted"}
}

// signature checks a shared access signature: sr, se and skn name resource, expiry and key; sig is the HMAC-SHA256 of
// sr as it was sent, a line feed and se.
func (s *Server) signature(token, path string) (claim, string) {
	var signed string
	v := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(token, "SharedAccessSignature "), "&") {
		name, value, _ := strings.Cut(part, "=")
		if name == "sr" {
			signed = value
		}
		plain, err := url.QueryUnescape(value)
		if err != nil {
			return claim{}, "InvalidToken: The token is malformed."
		}
		v[name] = plain
	}
	k := s.keys[v["skn"]]
	if k == nil {
		return claim{}, "InvalidSignature: The token has an invalid signature."
	}
	mac := hmac.New(sha256.New, []byte(k.secret))
	mac.Write([]byte(signed + "\n" + v["se"]))
	sig, err := base64.StdEncoding.DecodeString(v["sig"])
	if err != nil || !hmac.Equal(sig, mac.Sum(nil)) {
		return claim{}, "InvalidSignature: The token has an invalid signature."
	}
	seconds, err := strconv.ParseInt(v["se"], 10, 64)
	if err != nil || !time.Now().Before(time.Unix(seconds, 0)) {
		return claim{}, "ExpiredToken: The token is expired."
	}
	resource := v["sr"]
	if !strings.Contains(resource, "://") {
		resource = "sb://" + resource
	}
	if !covers(canonical(resource), path) || !covers(k.entity, path) {
		return claim{}, "InvalidAudience: The token is not for this resource."
	}
	return claim{k.rights, time.Unix(seconds, 0)}, ""
}

// bearer asks Options.Token. How long such a token holds is written inside it, where this server does not look.
func (s *Server) bearer(token string) (claim, string) {
	if s.opts.Token == nil || token == "" {
		return claim{}, "InvalidIssuer: This server accepts no such token: see Options.Token."
	}
	r := s.opts.Token(token)
	if r == 0 {
		return claim{}, "InvalidToken: The token gives no rights."
	}
	return claim{r, time.Now().Add(time.Hour)}, ""
}
