package sqstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are a queue's attributes, understood.
type settings struct {
	visibility, delay, retention, wait time.Duration
	maxMessage                         int
	contentDedup, dedupByGroup         bool
	redrive                            redrivePolicy
	allow                              allowPolicy
}

type redrivePolicy struct {
	target string // an ARN; "" without a policy
	most   int
}

type allowPolicy struct {
	permission string // allowAll, denyAll or byQueue
	sources    []string
}

// numbers are the attributes that are one, with their bounds and defaults.
var numbers = map[string]struct {
	least, most int
	or          string
}{
	"DelaySeconds":                  {0, int(maxDelay / time.Second), "0"},
	"MaximumMessageSize":            {minMaxMessage, maxMaxMessage, strconv.Itoa(maxMaxMessage)},
	"MessageRetentionPeriod":        {int(minRetention / time.Second), int(maxRetention / time.Second), "345600"},
	"ReceiveMessageWaitTimeSeconds": {0, int(maxWait / time.Second), "0"},
	"VisibilityTimeout":             {0, int(maxVisibility / time.Second), "30"},
	"KmsDataKeyReusePeriodSeconds":  {60, 86400, ""},
}

// words are the attributes that are one of a few words; the first is the default.
var words = map[string][]string{
	"SqsManagedSseEnabled":      {"true", "false"},
	"FifoQueue":                 {"true", "false"},
	"ContentBasedDeduplication": {"false", "true"},
	"DeduplicationScope":        {"queue", "messageGroup"},
	"FifoThroughputLimit":       {"perQueue", "perMessageGroupId"},
}

// texts are the rest. A policy and a key are kept and shown, and mean nothing here.
var texts = []string{"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"}

var fifoOnly = []string{"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}

// readOnly can be asked for, not set.
var readOnly = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

func settable(name string) bool {
	return numbers[name].most != 0 || words[name] != nil || slices.Contains(texts, name)
}

func defaults(fifo bool) map[string]string {
	out := map[string]string{}
	for name, n := range numbers {
		if n.or != "" {
			out[name] = n.or
		}
	}
	for name, w := range words {
		if fifo || !slices.Contains(fifoOnly, name) {
			out[name] = w[0]
		}
	}
	return out
}

// change is attributes with what a client gave on top; "" takes a text out.
func change(attributes, given map[string]string, fifo bool) (map[string]string, *refusal) {
	out := maps.Clone(attributes)
	for name, value := range given {
		if !settable(name) {
			return nil, refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
		if !fifo && slices.Contains(fifoOnly, name) && (name != "FifoQueue" || value != "false") {
			return nil, refuse("InvalidAttributeName", "You can specify the %s only when FifoQueue is set to true.", name)
		}
		if !wellFormed(name, value) {
			return nil, refuse("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
		}
		if value == "" {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	if out["FifoThroughputLimit"] == "perMessageGroupId" && out["DeduplicationScope"] != "messageGroup" {
		return nil, refuse("InvalidAttributeValue", "FifoThroughputLimit can be perMessageGroupId only when DeduplicationScope is messageGroup.")
	}
	return out, nil
}

func wellFormed(name, value string) bool {
	if n := numbers[name]; n.most != 0 {
		i, err := strconv.Atoi(value)
		return err == nil && i >= n.least && i <= n.most
	}
	if w := words[name]; w != nil {
		return slices.Contains(w, value)
	}
	switch name {
	case "RedrivePolicy":
		_, ok := parseRedrive(value)
		return ok || value == ""
	case "RedriveAllowPolicy":
		_, ok := parseAllow(value)
		return ok || value == ""
	}
	return true
}

func understand(attributes map[string]string) settings {
	number := func(name string) int {
		i, _ := strconv.Atoi(attributes[name])
		return i
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	set := settings{
		visibility: seconds("VisibilityTimeout"), delay: seconds("DelaySeconds"),
		retention: seconds("MessageRetentionPeriod"), wait: seconds("ReceiveMessageWaitTimeSeconds"),
		maxMessage:   number("MaximumMessageSize"),
		contentDedup: attributes["ContentBasedDeduplication"] == "true",
		dedupByGroup: attributes["DeduplicationScope"] == "messageGroup",
	}
	set.redrive, _ = parseRedrive(attributes["RedrivePolicy"])
	set.allow, _ = parseAllow(attributes["RedriveAllowPolicy"])
	return set
}

// parseRedrive takes maxReceiveCount as a number or as text, as the service does.
func parseRedrive(s string) (p redrivePolicy, ok bool) {
	var raw struct {
		Target *string          `json:"deadLetterTargetArn"`
		Most   *json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(s), &raw) != nil || raw.Target == nil || *raw.Target == "" {
		return p, false
	}
	p = redrivePolicy{*raw.Target, defaultReceives}
	if raw.Most != nil {
		n, err := strconv.Atoi(strings.Trim(string(*raw.Most), `"`))
		if err != nil || n < 1 || n > maxReceivesPolicy {
			return redrivePolicy{}, false
		}
		p.most = n
	}
	return p, true
}

func parseAllow(s string) (p allowPolicy, ok bool) {
	var raw struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if json.Unmarshal([]byte(s), &raw) != nil {
		return p, false
	}
	switch raw.Permission {
	case "allowAll", "denyAll":
		ok = len(raw.Sources) == 0
	case "byQueue":
		ok = len(raw.Sources) > 0 && len(raw.Sources) <= 10
	}
	return allowPolicy{raw.Permission, raw.Sources}, ok
}

func (p allowPolicy) lets(source string) bool {
	return p.permission != "denyAll" && (p.permission != "byQueue" || slices.Contains(p.sources, source))
}
