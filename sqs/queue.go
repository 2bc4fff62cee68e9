package sqs

import (
	"net/url"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// queue is a queue as it was named.
type queue struct {
	given   string // as it was opened
	name    string
	account string // "": the credentials' own
	region  string // "": the config's
	url     string // "": asked for by name
}

const fifoSuffix = ".fifo"

func (q *queue) fifo() bool { return strings.HasSuffix(q.name, fifoSuffix) }

// String is the canonical text: "sqs/ACCOUNT/NAME", and "sqs/NAME" where the account was not given.
func (q *queue) String() string {
	if q.account == "" {
		return "sqs/" + q.name
	}
	return "sqs/" + q.account + "/" + q.name
}

const queueField = "sqs queue"

// parseQueue reads a queue's URL, ARN or name.
func parseQueue(s string) (queue, error) {
	q := queue{given: s}
	bad := func(allowed string) (queue, error) {
		return q, &eventflow.ConfigError{Field: queueField, Value: hideUser(s), Allowed: allowed}
	}
	switch {
	case strings.HasPrefix(s, "arn:"):
		parts := strings.Split(s, ":")
		if len(parts) != 6 || parts[2] != "sqs" || parts[3] == "" || parts[4] == "" {
			return bad("an ARN of the form arn:aws:sqs:REGION:ACCOUNT:NAME")
		}
		q.region, q.account, q.name = parts[3], parts[4], parts[5]
		domain := "amazonaws.com"
		if parts[1] == "aws-cn" {
			domain = "amazonaws.com.cn"
		}
		q.url = "https://sqs." + q.region + "." + domain + "/" + q.account + "/" + q.name
	case strings.Contains(s, "://"):
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return bad("a URL of the form https://HOST/ACCOUNT/NAME")
		}
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		if len(parts) < 2 {
			return bad("a URL of the form https://HOST/ACCOUNT/NAME")
		}
		q.account, q.name = parts[len(parts)-2], parts[len(parts)-1]
		q.url = s
		if rest, ok := strings.CutPrefix(u.Hostname(), "sqs."); ok {
			if region, domain, ok := strings.Cut(rest, "."); ok && strings.HasPrefix(domain, "amazonaws.com") {
				q.region = region
			}
		}
	default:
		q.name = s
	}
	if !isQueueName(q.name) {
		return bad("a URL, an ARN or a name: up to 80 letters, digits, hyphens and underscores, .fifo included")
	}
	return q, nil
}

// hideUser gives a queue for an error: no more than its last part when there may be a password in it.
func hideUser(s string) string {
	if strings.Contains(s, "@") {
		return "(not shown)"
	}
	return s
}

func isQueueName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	for _, c := range strings.TrimSuffix(s, fifoSuffix) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != fifoSuffix
}
