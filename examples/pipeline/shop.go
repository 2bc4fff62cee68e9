package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Order is what a customer wants.
type Order struct {
	ID       int    `json:"id"`
	Customer string `json:"customer"`
	Lines    []Line `json:"lines"`
}

// Line is one article of an order.
type Line struct {
	Article string `json:"article"`
	Cents   int    `json:"cents"`
}

// Invoice is one line of an order, to be paid.
type Invoice struct {
	Order   int    `json:"order"`
	Article string `json:"article"`
	Cents   int    `json:"cents"`
}

// shop holds what the flows need; its methods are the flows.
type shop struct {
	mu        sync.Mutex // guards what follows
	out       io.Writer
	titled    bool // a title was printed
	customers map[string]bool
	locked    bool // the ledger was found locked
	cents     int
	entries   int
	audited   int
}

// validate lets an order pass. An error that no retry mends is marked: the order is a dead letter at once.
func (s *shop) validate(_ context.Context, o Order) (Order, error) {
	if !s.knows(o.Customer) {
		s.sayf("validate", "order %d is refused: %s is no customer", o.ID, o.Customer)
		return o, eventflow.Permanent(fmt.Errorf("%q is no customer", o.Customer))
	}
	for _, l := range o.Lines {
		if l.Cents < 0 {
			s.sayf("validate", "order %d is refused: %s for %d cents", o.ID, l.Article, l.Cents)
			return o, eventflow.Permanent(errors.New("an amount below zero"))
		}
	}
	s.sayf("validate", "order %d is in order", o.ID)
	return o, nil
}

// invoice makes an invoice of each line: each element of Many is an event. An error is tried again, after the backoff.
func (s *shop) invoice(ctx context.Context, o Order) (eventflow.Many[Invoice], error) {
	attempt := eventflow.RunFrom(ctx).Attempt
	if o.ID == 1002 && attempt == 1 {
		s.sayf("invoice", "order %d: the tax office does not answer in attempt %d", o.ID, attempt)
		return nil, errors.New("tax office: timeout")
	}
	var many eventflow.Many[Invoice]
	for _, l := range o.Lines {
		many = append(many, Invoice{Order: o.ID, Article: l.Article, Cents: l.Cents})
	}
	s.sayf("invoice", "order %d: %d made in attempt %d", o.ID, len(many), attempt)
	return many, nil
}

// post writes an invoice into the ledger. Busy is no failure: the invoice waits, and no attempt is counted.
func (s *shop) post(ctx context.Context, i Invoice) error {
	if i.Order == 1003 && s.lockOnce() {
		s.sayf("post", "order %d: the ledger is locked, busy", i.Order)
		return eventflow.Busy(200 * time.Millisecond)
	}
	s.enter(i.Cents)
	s.sayf("post", "order %d: %d.%02d for %s in attempt %d", i.Order, i.Cents/100, i.Cents%100, i.Article, eventflow.RunFrom(ctx).Attempt)
	return nil
}

// audit takes the event itself, whatever its payload is.
func (s *shop) audit(_ context.Context, _ eventflow.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audited++
	return nil
}

func (s *shop) knows(customer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.customers[customer]
}

func (s *shop) welcome(customer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.customers[customer] = true
}

// lockOnce is true when it is called first.
func (s *shop) lockOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.locked
	s.locked = true
	return first
}

func (s *shop) enter(cents int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cents += cents
	s.entries++
}

func (s *shop) title(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.titled {
		text = "\n" + text
	}
	s.titled = true
	_, _ = fmt.Fprintf(s.out, "%s\n\n", text)
}

func (s *shop) sayf(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, "  %-12s%s\n", who, fmt.Sprintf(format, args...))
}
