package servicebustest

import (
	"maps"
	"slices"
	"time"
)

// Kind is a kind of [Operation].
type Kind int

// What can be made to fail.
const (
	Attach     Kind = iota // a client opens a link to an entity
	Sending                // a client sends a message or a batch
	Delivery               // the server sends a message to a receiver
	Settlement             // a receiver settles a message on its link
	Management             // a request to $management or $cbs
)

// Operation is one step between a client and the server, before it is taken.
type Operation struct {
	Kind      Kind
	Entity    string // as it was created: "q", "t/Subscriptions/s", "q/$DeadLetterQueue"; "$cbs" for a token
	Name      string // Settlement: complete, abandon, defer, dead-letter or release; Management: "com.microsoft:renew-lock", "put-token"
	MessageID string // of Delivery, Settlement and Sending; "" for a batch
	SessionID string
}

// Action is what a [Fault] does.
type Action int

// The actions. In an operation that is answered (all but Delivery), the answer is lost with what carries it.
const (
	Pass    Action = iota // nothing: the operation goes its way, after Fault.Delay
	Refuse                // answered with an error, not done; a Delivery passes
	Cut                   // the connection is cut
	Detach                // the link is detached, with an error; the session's sending link for a request
	Silence               // nothing is done and nothing is answered; a Delivery is lost on its way, with its message locked
)

// Fault is what becomes of one operation. The zero Fault does nothing.
type Fault struct {
	Action Action

	// Applied lets the operation take effect before the action, so that only its answer is lost: what was sent is in
	// the queue, what was settled is settled. It means nothing to Refuse.
	Applied bool

	// Delay holds the operation up, by the server's clock, before anything else: it arrives late, and what it is about
	// may have changed. It means nothing to a Delivery.
	Delay time.Duration

	// Condition and Description are the AMQP error of Refuse and Detach. When empty they are
	// "com.microsoft:server-busy", which is how the service throttles, and for Detach "amqp:link:detach-forced".
	Condition, Description string
}

func (f *Fault) condition() string {
	switch {
	case f.Condition != "":
		return f.Condition
	case f.Action == Detach:
		return "amqp:link:detach-forced"
	}
	return "com.microsoft:server-busy"
}

func (f *Fault) text() string {
	if f.Description != "" {
		return f.Description
	}
	return "A fault that a test asked for."
}

// Intercept has every operation shown to f, which says what becomes of it. Interceptors are asked in the order in which
// they came, until one answers with a fault. Stop takes f out again.
//
// F is called under the server's lock: it must not block, and calls no method of the server.
func (s *Server) Intercept(f func(Operation) Fault) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &interceptor{f}
	s.interceptors = append(s.interceptors, i)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		kept := make([]*interceptor, 0, len(s.interceptors))
		for _, x := range s.interceptors {
			if x != i {
				kept = append(kept, x)
			}
		}
		s.interceptors = kept
	}
}

type interceptor struct{ f func(Operation) Fault }

// FailNext gives the next operations of a kind on an entity these faults, one each, in order. A zero Fault lets one
// pass.
func (s *Server) FailNext(k Kind, entity string, faults ...Fault) {
	path := canonical(entity)
	s.Intercept(func(op Operation) Fault {
		if op.Kind != k || canonical(op.Entity) != path || len(faults) == 0 {
			return Fault{}
		}
		f := faults[0]
		faults = faults[1:]
		return f
	})
}

func (s *Server) fault(op Operation) Fault {
	for _, i := range s.interceptors {
		if f := i.f(op); f != (Fault{}) {
			return f
		}
	}
	return Fault{}
}

// perform takes an operation that a client asked for and answers it, unless a fault decides otherwise. L is the link
// that a fault detaches; nil when there is none any more.
func (s *Server) perform(ses *session, l *link, op Operation, do func() *refusal, answer func(*refusal)) {
	f := s.fault(op)
	if f.Delay <= 0 {
		s.obey(f, ses, l, do, answer)
		return
	}
	s.after(f.Delay, func() {
		if s.conns[ses.c] && ses.c.sessions[ses.channel] == ses {
			s.obey(f, ses, l, do, answer)
		}
	})
}

func (s *Server) obey(f Fault, ses *session, l *link, do func() *refusal, answer func(*refusal)) {
	if f.Action == Refuse {
		answer(&refusal{f.condition(), f.text()})
		return
	}
	var r *refusal
	if f.Action == Pass || f.Applied {
		r = do()
	}
	switch f.Action {
	case Pass:
		answer(r)
	case Cut:
		ses.c.kill()
	case Detach:
		if l != nil {
			l.detach(f.condition(), f.text())
		}
	}
}

// CutConnections cuts every connection, as a network does: nothing is said. Clients connect again.
func (s *Server) CutConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.kill()
	}
}

// DetachLinks ends every link of an entity, management links included, with an AMQP error: "amqp:link:detach-forced"
// is what the service says when it moves an entity to another machine.
func (s *Server) DetachLinks(entity, condition string) {
	path := canonical(entity)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detach(func(l *link) bool { return l.e != nil && canonical(l.e.path) == path }, condition, "A fault that a test asked for.")
}

func (s *Server) detach(which func(*link) bool, condition, description string) {
	var ls []*link
	for c := range s.conns {
		for _, ses := range c.sessions {
			for _, l := range ses.links {
				if which(l) {
					ls = append(ls, l)
				}
			}
		}
	}
	for _, l := range ls {
		l.detach(condition, description)
	}
}

// ExpireLocks ends every lock of an entity as if its time were over: of messages, and of sessions, whose links are
// detached. It reports how many there were.
func (s *Server) ExpireLocks(entity string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[canonical(entity)]
	if e == nil {
		return 0
	}
	if e.set.RequiresSession {
		held := slices.DeleteFunc(slices.Collect(maps.Values(e.lanes)), func(ln *lane) bool { return ln.holder == nil })
		for _, ln := range held { // one that ends may let another begin, which is not meant
			ln.expire()
		}
		return len(held)
	}
	n := len(e.locked)
	for _, m := range e.locked {
		m.unlock(true)
	}
	e.plain().pump()
	return n
}

// ExpireSession ends the lock of one session of an entity as if its time were over; false when no receiver holds it.
func (s *Server) ExpireSession(entity, session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[canonical(entity)]
	if e == nil || e.lanes[session] == nil || e.lanes[session].holder == nil {
		return false
	}
	e.lanes[session].expire()
	return true
}
