package sqs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/eventflow-go/eventflow"
)

// Broker opens queues of SQS. It may be used by many goroutines.
type Broker struct {
	cfg aws.Config
	set settings
	err error // of the options

	mu      sync.Mutex // guards what follows
	clients map[clientKey]client
	opened  map[closer]struct{}
	closed  bool
	lasting sync.WaitGroup // receives that outlive their subscriber's close
	cut     context.CancelFunc
	life    context.Context // of those
}

var (
	_ eventflow.Broker      = (*Broker)(nil)
	_ eventflow.TopicLister = (*Broker)(nil)
)

// closer is what a broker closes: its publishers and subscribers.
type closer interface {
	Close(ctx context.Context) error
}

// client is what is used of the SDK's.
type client interface {
	GetQueueUrl(context.Context, *awssqs.GetQueueUrlInput, ...func(*awssqs.Options)) (*awssqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *awssqs.GetQueueAttributesInput, ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error)
	ListQueues(context.Context, *awssqs.ListQueuesInput, ...func(*awssqs.Options)) (*awssqs.ListQueuesOutput, error)
	SendMessageBatch(context.Context, *awssqs.SendMessageBatchInput, ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error)
	ReceiveMessage(context.Context, *awssqs.ReceiveMessageInput, ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *awssqs.DeleteMessageBatchInput, ...func(*awssqs.Options)) (*awssqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *awssqs.ChangeMessageVisibilityBatchInput, ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error)
}

// clientKey is what queues with one client have in common.
type clientKey struct{ region, role, externalID string }

// New makes a broker of the SDK's configuration, which every source of credentials and endpoints can fill
// (config.LoadDefaultConfig). It does no I/O. A bad option waits in [Broker.Err] and is the error of all that the broker
// opens.
func New(cfg aws.Config, opts ...Option) *Broker {
	b := &Broker{cfg: cfg, set: defaults(), clients: map[clientKey]client{}, opened: map[closer]struct{}{}}
	var errs []error
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "sqs.New option", Value: "nil", Allowed: "an Option"})
			continue
		}
		errs = append(errs, o(&b.set))
	}
	b.err = errors.Join(errs...)
	return b
}

// Err says what is wrong with the broker's options, each a *eventflow.ConfigError; nil when nothing is.
func (b *Broker) Err() error { return b.err }

// Publisher is OpenPublisher with the error kept for later: the publisher has an Err method, which runner.New asks, and
// it is the error of each Publish.
func (b *Broker) Publisher(queue string, opts ...eventflow.PublisherOption) eventflow.Publisher {
	p, _ := b.publisher(queue, opts)
	return p
}

// Subscriber is OpenSubscriber with the error kept for later: the subscriber has an Err method, which runner.New asks,
// and it is the error of Start and Next.
func (b *Broker) Subscriber(queue string, opts ...eventflow.SubscriberOption) eventflow.Subscriber {
	s, _ := b.subscriber(queue, opts)
	return s
}

// OpenPublisher opens a publisher to a queue, which is named by its URL, its ARN or its name. A name needs the right
// GetQueueUrl; the other two need nothing but SendMessage.
func (b *Broker) OpenPublisher(queue string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	p, err := b.publisher(queue, opts)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// OpenSubscriber opens a consumer of a queue, which is named by its URL, its ARN or its name. It needs the rights
// ReceiveMessage, DeleteMessage, ChangeMessageVisibility and GetQueueAttributes, and GetQueueUrl for a name. SQS has no
// groups: all consumers of a queue compete. Its String, the default name of a trigger, is "sqs/ACCOUNT/NAME", without
// the account for a queue that is opened by name.
func (b *Broker) OpenSubscriber(queue string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	s, err := b.subscriber(queue, opts)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b *Broker) publisher(name string, opts []eventflow.PublisherOption) (*publisher, error) {
	set := b.set
	set.side = atPublisher
	cfg := eventflow.PublisherConfig{Native: &set}
	errs := []error{b.err}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "sqs publisher option", Value: "nil", Allowed: "a PublisherOption"})
			continue
		}
		errs = append(errs, o.ApplyPublisher(&cfg))
	}
	p, err := b.newPublisher(name, set)
	p.err = errors.Join(append(errs, err)...)
	if p.err == nil {
		p.err = b.adopt(p)
	}
	return p, p.err
}

func (b *Broker) subscriber(name string, opts []eventflow.SubscriberOption) (*subscriber, error) {
	set := b.set
	set.side = atSubscriber
	cfg := eventflow.SubscriberConfig{Native: &set}
	errs := []error{b.err}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "sqs subscriber option", Value: "nil", Allowed: "a SubscriberOption"})
			continue
		}
		errs = append(errs, o.ApplySubscriber(&cfg))
	}
	if cfg.Group != "" {
		errs = append(errs, &eventflow.ConfigError{Field: "eventflow.Group", Value: cfg.Group, Allowed: "none: all consumers of an SQS queue compete"})
	}
	s, err := b.newSubscriber(name, set)
	s.err = errors.Join(append(errs, err)...)
	if s.err == nil {
		s.err = b.adopt(s)
	}
	return s, s.err
}

// adopt remembers what Close closes.
func (b *Broker) adopt(c closer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return eventflow.ErrClosed
	}
	b.opened[c] = struct{}{}
	return nil
}

func (b *Broker) forget(c closer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.opened, c)
}

// client gives the client for a queue with these settings.
func (b *Broker) client(q *queue, set *settings) client {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := clientKey{q.region, set.role, set.externalID}
	if c := b.clients[key]; c != nil {
		return c
	}
	cfg := b.cfg.Copy()
	if q.region != "" {
		cfg.Region = q.region
	}
	if set.role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(b.cfg), set.role,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = "eventflow"
				if set.externalID != "" {
					o.ExternalID = &set.externalID
				}
			}))
	}
	c := awssqs.NewFromConfig(cfg, append(slices.Clone(b.set.client), patience)...)
	b.clients[key] = c
	return c
}

func isRoleARN(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && parts[4] != "" && strings.HasPrefix(parts[5], "role/") && len(parts[5]) > len("role/")
}

// Features says what SQS promises: lanes, which are the message groups of FIFO queues (messages of standard queues have
// none); no groups of consumers; attempts are not counted, as receives are none; dead letters, by the broker's option or
// the queue's own policy; delays and locks within its 12 hours. MaxLock is the broker's [Visibility], else that of a
// queue made with the defaults. MaxEvent is what surely fits, whatever the bytes, beside 16 KiB of attributes.
func (b *Broker) Features() eventflow.Features {
	lock := b.set.visibility
	if lock == 0 {
		lock = standardVisible
	}
	const attributes = 16 << 10
	return eventflow.Features{
		Lanes: true, DeadLetter: true, MaxNack: maxVisibility, MaxLock: lock,
		MaxEvent: max(b.set.maxBytes-min(attributes, b.set.maxBytes/2), 0) / 4 * 3, // base64 takes a third more
	}
}

// Topics lists the URLs of the queues that the credentials may list, which needs the right ListQueues.
func (b *Broker) Topics(ctx context.Context) ([]string, error) {
	if b.err != nil {
		return nil, b.err
	}
	c := b.client(&queue{}, &b.set)
	var urls []string
	in := awssqs.ListQueuesInput{MaxResults: aws.Int32(1000)}
	for {
		out, err := c.ListQueues(ctx, &in)
		if err != nil {
			return nil, explain("ListQueues", "*", err, false)
		}
		urls = append(urls, out.QueueUrls...)
		if aws.ToString(out.NextToken) == "" {
			return urls, nil
		}
		in.NextToken = out.NextToken
	}
}

// Close closes all publishers and subscribers, at the same time, and waits for the receives that outlived a subscriber
// whose time to close was too short; when ctx ends they are cut.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	all := slices.Collect(maps.Keys(b.opened))
	b.mu.Unlock()
	errs := make([]error, len(all))
	var closing sync.WaitGroup
	for i, c := range all {
		closing.Go(func() { errs[i] = c.Close(ctx) })
	}
	closing.Wait()
	b.mu.Lock()
	cut := b.cut
	b.mu.Unlock()
	if cut != nil {
		stop := context.AfterFunc(ctx, cut)
		defer stop()
		defer cut()
	}
	b.lasting.Wait()
	return errors.Join(errs...)
}

// lastingContext is that of receives that are let finish. It ends when the broker's close is cut.
func (b *Broker) lastingContext() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life == nil {
		// Made here and not by New: a broker may be used inside a synctest bubble that it was not made in.
		b.life, b.cut = context.WithCancel(context.Background())
	}
	return b.life
}
