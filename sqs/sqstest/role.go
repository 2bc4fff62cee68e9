package sqstest

import (
	"crypto/rand"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// role is what AssumeRole gives credentials for. All is guarded by the server's lock.
type role struct {
	arn, externalID string
	rights          Rights
}

const (
	defaultSession = time.Hour
	minSession     = 15 * time.Minute
	maxSession     = 12 * time.Hour
)

// GrantRole makes a role, of this account or another, that whoever names the external ID may assume: the server answers
// AssumeRole of AWS's Security Token Service, so that sts.NewFromConfig(server.Config()) works. No external ID is asked
// for when it is empty. A role that exists gets these rights, from the next request on.
func (s *Server) GrantRole(arn, externalID string, r Rights) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.roles[arn]; known != nil {
		known.externalID, known.rights = externalID, r
		return
	}
	s.roles[arn] = &role{arn, externalID, r}
}

// decodeForm reads a request of the Security Token Service, whose protocol is older.
func decodeForm(body string) (action string, op operation, bad *refusal) {
	form, err := url.ParseQuery(body)
	if err != nil || form.Get("Action") != "AssumeRole" {
		return "", nil, refuse("UnknownOperationException", "Of the query protocol, only AssumeRole is answered here.")
	}
	return "AssumeRole", &assumeRole{form.Get("RoleArn"), form.Get("ExternalId"), form.Get("RoleSessionName"), form.Get("DurationSeconds")}, nil
}

type assumeRole struct{ arn, externalID, session, seconds string }

// assumedRole is the answer, in XML.
type assumedRole struct {
	XMLName    xml.Name  `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	ID         string    `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret     string    `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token      string    `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration time.Time `xml:"AssumeRoleResult>Credentials>Expiration"`
	ARN        string    `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	AssumedID  string    `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	RequestID  string    `xml:"ResponseMetadata>RequestId"`
}

func (r *assumeRole) do(c *call) (any, *refusal) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	d := defaultSession
	if r.seconds != "" {
		n, err := strconv.Atoi(r.seconds)
		if d = time.Duration(n) * time.Second; err != nil || d < minSession || d > maxSession {
			return nil, refuse("ValidationError", "DurationSeconds must be between 900 and 43200.")
		}
	}
	known := s.roles[r.arn]
	if known == nil || known.externalID != "" && known.externalID != r.externalID {
		return nil, refuse("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.who, r.arn)
	}
	now := s.clock.Now()
	maps.DeleteFunc(s.credentials, func(_ string, c *Credential) bool {
		return !c.until.IsZero() && now.After(c.until.Add(time.Hour)) // so long it is told that it expired
	})
	k := &Credential{ID: "ASIA" + rand.Text()[:16], Secret: rand.Text(), s: s, role: known, until: now.Add(d)}
	s.credentials[k.ID] = k
	return assumedRole{
		ID: k.ID, Secret: k.Secret, Token: rand.Text(), Expiration: k.until.UTC().Truncate(time.Second),
		ARN: r.arn + "/" + r.session, AssumedID: "AROA:" + r.session, RequestID: newID(),
	}, nil
}

func answerXML(w http.ResponseWriter, result any, bad *refusal) {
	w.Header().Set("Content-Type", "text/xml")
	if bad != nil {
		w.WriteHeader(bad.status())
		result = struct {
			XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
			Code    string   `xml:"Error>Code"`
			Message string   `xml:"Error>Message"`
		}{Code: bad.code, Message: bad.message}
	}
	body, _ := xml.Marshal(result)
	_, _ = w.Write(body) //nolint:gosec // nobody reads it with a browser
}
