package sqs

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/cloudevents"
)

// errNotNotification says that a message is not what its decoder reads.
var errNotNotification = errors.New("sqs: not a notification of that kind")

const jsonType = "application/json"

// S3Record is what a flow gets of an object that was created, removed and so on, by way of [S3Events].
type S3Record struct {
	Event     string // "ObjectCreated:Put"; by way of EventBridge "Object Created"
	Time      time.Time
	Region    string
	Bucket    string
	Key       string // as the object is called: S3 escapes it, this is not escaped
	Size      int64  // 0 of what was removed
	ETag      string
	VersionID string // "" where the bucket has no versions
	Sequencer string // compares, as a hexadecimal number, the events of one key
}

// s3Record is a record in a notification of S3's own (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
//
//nolint:tagliatelle // AWS's names
type s3Record struct {
	Source   string    `json:"eventSource"`
	Event    string    `json:"eventName"`
	Time     time.Time `json:"eventTime"`
	Region   string    `json:"awsRegion"`
	Response struct {
		Request string `json:"x-amz-request-id"`
	} `json:"responseElements"`
	S3 struct {
		Bucket s3Bucket `json:"bucket"`
		Object s3Object `json:"object"`
	} `json:"s3"`
}

type s3Bucket struct {
	Name string `json:"name"`
}

//nolint:tagliatelle // AWS's names
type s3Object struct {
	Key       string `json:"key"`
	Size      int64  `json:"size"`
	ETag      string `json:"eTag"` // "etag" by way of EventBridge: JSON does not mind
	VersionID string `json:"versionId"`
	Version   string `json:"version-id"` // by way of EventBridge
	Sequencer string `json:"sequencer"`
}

// bridgeS3 is what EventBridge says in detail of an object.
//
//nolint:tagliatelle // AWS's names
type bridgeS3 struct {
	Bucket  s3Bucket `json:"bucket"`
	Object  s3Object `json:"object"`
	Request string   `json:"request-id"`
}

// S3Events reads notifications of S3, sent to the queue directly, by SNS or by EventBridge: each record is an event, with
// an [S3Record] in JSON as its data, the key as its subject, "com.amazonaws.s3." and the event's name as its type, and an
// ID that is the same when S3 sends it again. S3's test event is ignored.
//
//nolint:tagliatelle // AWS's names
func S3Events(ev *eventflow.Event) ([]eventflow.Event, error) {
	if evs, err := EventBridge(ev); err == nil {
		return s3FromBridge(evs)
	}
	if evs, err := SNS(ev); err == nil {
		ev = &evs[0]
	}
	var n struct {
		Records []s3Record `json:"Records"`
		Service string     `json:"Service"`
		Event   string     `json:"Event"`
	}
	if err := json.Unmarshal(ev.Data, &n); err != nil {
		return nil, errNotNotification
	}
	if n.Service == "Amazon S3" && n.Event == "s3:TestEvent" {
		return nil, eventflow.Skip("s3:TestEvent")
	}
	if len(n.Records) == 0 {
		return nil, errNotNotification
	}
	out := make([]eventflow.Event, len(n.Records))
	for i := range n.Records {
		r := &n.Records[i]
		if r.Source != "aws:s3" || r.S3.Bucket.Name == "" {
			return nil, errNotNotification
		}
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, errNotNotification
		}
		o := &r.S3.Object
		o.Key = key
		out[i] = s3Event(r.Event, r.Region, r.S3.Bucket.Name, r.Response.Request, r.Time, o)
	}
	return out, nil
}

func s3FromBridge(evs []eventflow.Event) ([]eventflow.Event, error) {
	var d bridgeS3
	if evs[0].Source != "aws.s3" || json.Unmarshal(evs[0].Data, &d) != nil || d.Bucket.Name == "" {
		return nil, errNotNotification
	}
	return []eventflow.Event{s3Event(evs[0].Type, evs[0].Attributes.String("awsregion"), d.Bucket.Name, d.Request, evs[0].Time, &d.Object)}, nil
}

func s3Event(name, region, bucket, request string, at time.Time, o *s3Object) eventflow.Event {
	if o.VersionID == "" {
		o.VersionID = o.Version
	}
	r := S3Record{
		Event: name, Time: at, Region: region, Bucket: bucket, Key: o.Key, Size: o.Size, ETag: o.ETag, VersionID: o.VersionID, Sequencer: o.Sequencer,
	}
	data, err := json.Marshal(&r)
	if err != nil { // no field can fail but a year beyond 9999
		data = []byte("{}")
	}
	return eventflow.Event{
		// One request may remove a thousand objects.
		ID:     digest(strings.Join([]string{request, name, o.Key, o.VersionID, o.Sequencer}, "\n"))[:32],
		Source: "aws:s3." + region + "." + bucket, Type: "com.amazonaws.s3." + name, Subject: o.Key, Time: at,
		DataContentType: jsonType, Data: data,
	}
}

// SNS reads the envelope that a topic of SNS puts around a message, unless it delivers raw ones. The event has the
// topic's ARN as its source, the message's ID and time, and its attributes; attributes of CloudEvents in binary mode make
// it that event.
//
//nolint:tagliatelle // AWS's names
func SNS(ev *eventflow.Event) ([]eventflow.Event, error) {
	var n struct {
		Type       string    `json:"Type"`
		ID         string    `json:"MessageId"`
		Topic      string    `json:"TopicArn"`
		Subject    string    `json:"Subject"`
		Message    *string   `json:"Message"`
		Time       time.Time `json:"Timestamp"`
		Attributes map[string]struct {
			Type  string `json:"Type"`
			Value string `json:"Value"`
		} `json:"MessageAttributes"`
	}
	if err := json.Unmarshal(ev.Data, &n); err != nil || n.Type != "Notification" || n.ID == "" || n.Topic == "" || n.Message == nil {
		return nil, errNotNotification
	}
	out := eventflow.Event{ID: n.ID, Source: n.Topic, Type: "com.amazonaws.sns.notification", Subject: n.Subject, Time: n.Time, Data: []byte(*n.Message)}
	names := make([]string, 0, len(n.Attributes))
	for name := range n.Attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a := n.Attributes[name]
		switch core := ceName(name); {
		case isContentType(name):
			out.DataContentType = a.Value
		case isCore(core) && cloudevents.Set(&out, core, a.Value):
		case core != "" && !isCore(core):
			out.Attributes = append(out.Attributes, eventflow.Attribute{Name: core, Value: a.Value})
		default:
			out.Attributes = append(out.Attributes, eventflow.Attribute{Name: name, Value: a.Value})
		}
	}
	return []eventflow.Event{out}, nil
}

// EventBridge reads an event of EventBridge: its detail is the data, its detail-type the type; ID, source and time are its
// own. Account and region are the attributes "awsaccount" and "awsregion", its resources are "awsresources" in JSON.
//
//nolint:tagliatelle // AWS's names
func EventBridge(ev *eventflow.Event) ([]eventflow.Event, error) {
	var n struct {
		ID        string          `json:"id"`
		Type      string          `json:"detail-type"`
		Source    string          `json:"source"`
		Account   string          `json:"account"`
		Region    string          `json:"region"`
		Time      time.Time       `json:"time"`
		Resources json.RawMessage `json:"resources"`
		Detail    json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(ev.Data, &n); err != nil || n.ID == "" || n.Type == "" || n.Source == "" || n.Detail == nil {
		return nil, errNotNotification
	}
	out := eventflow.Event{ID: n.ID, Source: n.Source, Type: n.Type, Time: n.Time, DataContentType: jsonType, Data: n.Detail}
	for _, a := range []eventflow.Attribute{
		{Name: "awsaccount", Value: n.Account}, {Name: "awsregion", Value: n.Region}, {Name: "awsresources", Value: string(n.Resources)},
	} {
		if a.Value != "" {
			out.Attributes = append(out.Attributes, a)
		}
	}
	return []eventflow.Event{out}, nil
}
