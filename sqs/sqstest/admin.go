package sqstest

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// onQueue is what all requests about one queue have.
type onQueue struct {
	QueueURL string `json:"QueueUrl"`
}

func (o onQueue) queue() string { return nameOfURL(o.QueueURL) }

type nothing struct{}

type createQueue struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

func (r *createQueue) queue() string { return r.QueueName }

var queueNames = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (r *createQueue) do(c *call) (any, *refusal) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if q := s.queues[r.QueueName]; q != nil {
		for name, value := range r.Attributes {
			if q.attributes[name] != value {
				return nil, refuse("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", name)
			}
		}
		return urlResult{q.url()}, nil
	}
	if deleted, ok := s.deleted[r.QueueName]; ok && now.Before(deleted.Add(cooldown)) {
		return nil, refuse("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	q, err := s.create(r.QueueName, r.Attributes, now)
	if err != nil {
		return nil, err
	}
	maps.Copy(q.tags, r.Tags)
	return urlResult{q.url()}, nil
}

func (s *Server) create(name string, given map[string]string, now time.Time) (*queue, *refusal) {
	stem, fifo := strings.CutSuffix(name, fifoSuffix)
	if fifo != (given["FifoQueue"] == "true") || len(name) > 80 || !queueNames.MatchString(stem) {
		return nil, invalid("QueueName", name, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. The name of a FIFO queue must end with .fifo.")
	}
	if len(s.queues) >= maxQueues {
		return nil, refuse("OverLimit", "There are too many queues.")
	}
	attributes, err := change(defaults(fifo), given, fifo)
	if err != nil {
		return nil, err
	}
	q := &queue{
		s: s, name: name, arn: arn(s.opts.Region, s.opts.Account, name), fifo: fifo, created: now, tags: map[string]string{},
		messages: map[uint64]*message{}, lanes: map[string]*lane{}, seen: map[string]sighting{}, attempts: map[string]*attempt{},
	}
	if p, _ := parseRedrive(attributes["RedrivePolicy"]); true {
		if err := s.checkRedrive(p, fifo, q.arn); err != nil {
			return nil, err
		}
	}
	s.serial++
	q.number = s.serial
	q.configure(attributes, now)
	s.queues[name] = q
	delete(s.deleted, name)
	return q, nil
}

const maxQueues = 100_000

type urlResult struct {
	QueueURL string `json:"QueueUrl"`
}

type getQueueURL struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

func (r *getQueueURL) queue() string { return r.QueueName }

func (r *getQueueURL) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	q := c.s.queues[r.QueueName]
	if q == nil || r.QueueOwnerAWSAccountID != "" && r.QueueOwnerAWSAccountID != c.s.opts.Account {
		return nil, errNoQueue
	}
	return urlResult{q.url()}, nil
}

// page is a part of a list. A token is the last name of the page before.
type page struct {
	MaxResults *int
	NextToken  string
}

const maxPage = 1000

func (p page) of(s *Server, names []string) (urls []string, next string, err *refusal) {
	most := maxPage
	if p.MaxResults != nil {
		if most = *p.MaxResults; most < 1 || most > maxPage {
			return nil, "", invalid("MaxResults", most, "Must be between 1 and 1000, if provided.")
		}
	}
	slices.Sort(names)
	i, found := slices.BinarySearch(names, p.NextToken)
	if found {
		i++
	}
	names = names[i:]
	if len(names) > most {
		names = names[:most]
		if p.MaxResults != nil {
			next = names[most-1]
		}
	}
	urls = []string{}
	for _, name := range names {
		urls = append(urls, s.queues[name].url())
	}
	return urls, next, nil
}

type listQueues struct {
	QueueNamePrefix string
	page
}

func (r *listQueues) do(c *call) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var names []string
	for name := range c.s.queues {
		if strings.HasPrefix(name, r.QueueNamePrefix) {
			names = append(names, name)
		}
	}
	urls, next, err := r.of(c.s, names)
	return struct {
		QueueURLs []string `json:"QueueUrls,omitempty"`
		NextToken string   `json:",omitempty"`
	}{urls, next}, err
}

type listDeadLetterSourceQueues struct {
	onQueue
	page
}

func (r *listDeadLetterSourceQueues) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		urls, next, err := r.of(c.s, c.s.sources(q))
		return struct {
			QueueURLs []string `json:"queueUrls"`
			NextToken string   `json:",omitempty"`
		}{urls, next}, err
	})
}

// sources are the names of the queues that use this one for their dead letters.
func (s *Server) sources(q *queue) (names []string) {
	for name, other := range s.queues {
		if other.set.redrive.target == q.arn {
			names = append(names, name)
		}
	}
	return names
}

type getQueueAttributes struct {
	onQueue
	AttributeNames []string
}

func (r *getQueueAttributes) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		for _, name := range r.AttributeNames {
			if name != "All" && !settable(name) && !slices.Contains(readOnly, name) {
				return nil, refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
			}
		}
		return struct {
			Attributes map[string]string `json:",omitempty"`
		}{q.show(r.AttributeNames)}, nil
	})
}

type setQueueAttributes struct {
	onQueue
	Attributes map[string]string
}

func (r *setQueueAttributes) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, now time.Time) (any, *refusal) {
		if _, ok := r.Attributes["FifoQueue"]; ok {
			return nil, refuse("InvalidAttributeName", "Unknown Attribute FifoQueue.")
		}
		attributes, err := change(q.attributes, r.Attributes, q.fifo)
		if err != nil {
			return nil, err
		}
		if given := r.Attributes["RedrivePolicy"]; given != "" {
			p, _ := parseRedrive(given)
			if err := c.s.checkRedrive(p, q.fifo, q.arn); err != nil {
				return nil, err
			}
		}
		q.configure(attributes, now)
		return nothing{}, nil
	})
}

type deleteQueue struct{ onQueue }

func (r *deleteQueue) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, now time.Time) (any, *refusal) {
		c.s.remove(q)
		maps.DeleteFunc(c.s.deleted, func(_ string, at time.Time) bool { return !now.Before(at.Add(cooldown)) })
		c.s.deleted[q.name] = now
		return nothing{}, nil
	})
}

func (s *Server) remove(q *queue) {
	q.close()
	delete(s.queues, q.name)
}

type purgeQueue struct{ onQueue }

func (r *purgeQueue) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, now time.Time) (any, *refusal) {
		if !q.purged.IsZero() && now.Before(q.purged.Add(cooldown)) {
			return nil, refuse("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
		}
		q.purged = now
		for _, m := range q.messages {
			q.drop(m)
		}
		return nothing{}, nil
	})
}

type tagQueue struct {
	onQueue
	Tags map[string]string
}

func (r *tagQueue) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		if len(r.Tags) == 0 {
			return nil, missing("Tags")
		}
		all := maps.Clone(q.tags)
		maps.Copy(all, r.Tags)
		if len(all) > maxTags {
			return nil, refuse(codeInvalidParameter, "Too many tags added for queue %s.", q.name)
		}
		q.tags = all
		return nothing{}, nil
	})
}

const maxTags = 50

type untagQueue struct {
	onQueue
	TagKeys []string
}

func (r *untagQueue) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		for _, key := range r.TagKeys {
			delete(q.tags, key)
		}
		return nothing{}, nil
	})
}

type listQueueTags struct{ onQueue }

func (r *listQueueTags) do(c *call) (any, *refusal) {
	return c.onQueue(r.QueueURL, func(q *queue, _ time.Time) (any, *refusal) {
		return struct {
			Tags map[string]string `json:",omitempty"`
		}{maps.Clone(q.tags)}, nil
	})
}

// Stats are a queue's messages at one moment.
type Stats struct {
	Visible  int // to be received; of a FIFO queue also those that wait for their group
	InFlight int // received, and neither deleted nor visible again
	Delayed  int
}

// Stats counts a queue's messages; the zero Stats when there is no such queue.
func (s *Server) Stats(name string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return Stats{}
	}
	q.catchUp(s.clock.Now())
	return Stats{len(q.messages) - q.inFlight - q.delayed, q.inFlight, q.delayed}
}

// String is how test failures show it.
func (st Stats) String() string {
	return strconv.Itoa(st.Visible) + " visible, " + strconv.Itoa(st.InFlight) + " in flight, " + strconv.Itoa(st.Delayed) + " delayed"
}
