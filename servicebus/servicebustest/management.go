package servicebustest

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// reply answers a request.
type reply struct {
	code      int32
	text      string
	condition string
	body      amqp.Map
}

func fail(code int32, condition, text string) reply {
	return reply{code: code, text: text, condition: condition}
}

// statusOf is the status with which an AMQP error answers a request.
func statusOf(r *refusal) reply {
	code := int32(400)
	switch r.condition {
	case "com.microsoft:server-busy":
		code = 503
	case "com.microsoft:timeout":
		code = 408
	case "com.microsoft:message-lock-lost", "com.microsoft:session-lock-lost":
		code = 410
	case noRights:
		code = 401
	case "amqp:not-found", "com.microsoft:message-not-found", "com.microsoft:session-not-found":
		code = 404
	case "amqp:resource-limit-exceeded":
		code = 403
	case "amqp:not-implemented":
		code = 501
	case "amqp:internal-error":
		code = 500
	}
	return fail(code, r.condition, r.text)
}

// request is what a client asks of an entity's management node.
type request struct {
	c    *conn
	e    *entity
	op   string
	in   amqp.Map
	link string // the link that it is about, when it says so
}

// operations are what $management answers, and the rights that each needs. To schedule by a request takes the right to
// listen too: https://github.com/MicrosoftDocs/azure-docs/issues/5999, and the vendor's table since.
var operations = map[string]struct {
	need Rights
	do   func(*request) reply
}{
	"com.microsoft:schedule-message":           {Send | Listen, (*request).schedule},
	"com.microsoft:cancel-scheduled-message":   {Send | Listen, (*request).cancel},
	"com.microsoft:peek-message":               {Listen, (*request).peek},
	"com.microsoft:receive-by-sequence-number": {Listen, (*request).receive},
	"com.microsoft:renew-lock":                 {Listen, (*request).renew},
	"com.microsoft:update-disposition":         {Listen, (*request).settle},
	"com.microsoft:renew-session-lock":         {Listen, (*request).renewSession},
	"com.microsoft:get-session-state":          {Listen, (*request).getState},
	"com.microsoft:set-session-state":          {Listen, (*request).setState},
	"com.microsoft:get-message-sessions":       {Listen, (*request).sessions},
}

// request answers a message that came on a request link.
func (l *link) request(m *amqp.Message) {
	c, s := l.ses.c, l.ses.c.s
	app := m.ApplicationProperties()
	name := app.Text("operation")
	op := Operation{Kind: Management, Entity: cbsNode, Name: name}
	if l.e != nil {
		op.Entity = l.e.path
	}
	out := reply{code: 200, text: "OK"}
	s.perform(l.ses, l, op, func() *refusal {
		if l.e == nil {
			out = s.putToken(c, m)
			return nil
		}
		what, known := operations[name]
		in, _ := m.Value().(amqp.Map)
		switch {
		case !known:
			out = fail(501, "amqp:not-implemented", fmt.Sprintf("The operation %q is not implemented.", name))
		case !c.rights(canonical(l.e.path) + managementSuffix).all(what.need):
			out = fail(401, noRights, fmt.Sprintf("The right that the operation %q requires is missing.", name))
		default:
			out = what.do(&request{c, l.e, name, in, app.Text("associated-link-name")})
		}
		return nil
	}, func(r *refusal) {
		if r != nil {
			out = statusOf(r)
		}
		l.reply(m, out)
	})
}

// reply sends an answer on the link that the request names as its reply-to, which is called by its target's address
// or by its name; of a request that names none, on the link of the same session and node.
func (l *link) reply(m *amqp.Message, out reply) {
	to := text(m.Properties, amqp.ReplyTo)
	var on *link
	for _, ses := range l.ses.c.sessions {
		for _, x := range ses.links {
			if x.sends && x.node && x.e == l.e && (to != "" && (x.replyTo == to || x.name == to) || to == "" && ses == l.ses) {
				on = x
			}
		}
	}
	if on == nil {
		return // nobody waits for it
	}
	var condition any
	if out.condition != "" {
		condition = amqp.Symbol(out.condition)
	}
	app := amqp.Map{{Key: "statusCode", Value: out.code}, {Key: "statusDescription", Value: out.text}, {Key: "errorCondition", Value: condition}}
	if l.e == nil { // CBS has its own spelling
		app = amqp.Map{{Key: "status-code", Value: out.code}, {Key: "status-description", Value: out.text}, {Key: "error-condition", Value: condition}}
	}
	answer := amqp.NewMessage(amqp.List{nil, nil, nil, nil, nil, amqp.At[any](m.Properties, amqp.MessageID)}, app, out.body)
	if len(on.replies) >= maxReplies {
		on.detach("amqp:resource-limit-exceeded", "Too many replies wait for credit.")
		return
	}
	on.replies = append(on.replies, answer.Append(nil))
	on.pump()
}

var ok = reply{code: 200, text: "OK"}

func answer(key string, value any) reply {
	return reply{code: 200, text: "OK", body: amqp.Map{{Key: key, Value: value}}}
}

// list reads a list or an array of T; what is of another type is left out.
func list[T any](v any) (out []T) {
	var vs []any
	switch v := v.(type) {
	case amqp.List:
		vs = v
	case amqp.Array:
		vs = v
	}
	for _, v := range vs {
		if x, ok := v.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

func (r *request) schedule() reply {
	var cs []*amqp.Message
	for _, entry := range list[amqp.Map](r.in.Get("messages")) {
		b, _ := entry.Get("message").([]byte)
		c, err := amqp.ParseMessage(b)
		if err != nil {
			return fail(400, "amqp:decode-error", err.Error())
		}
		cs = append(cs, c)
	}
	if len(cs) == 0 || r.e.dead == nil && !r.e.isTopic || r.e.topic != nil {
		return fail(400, "amqp:not-allowed", "There is nothing to schedule, or it cannot be sent here.")
	}
	if refused := r.e.admit(cs); refused != nil {
		return statusOf(refused)
	}
	numbers := make(amqp.Array, 0, len(cs))
	for _, c := range cs {
		numbers = append(numbers, r.e.put(c))
	}
	return answer("sequence-numbers", numbers)
}

var notFound = fail(404, "com.microsoft:message-not-found", "The specified message was not found.")

// byNumber finds the messages of a request in a state: all, or none.
func (r *request) byNumber(st state) (ms []*message) {
	for _, n := range list[int64](r.in.Get("sequence-numbers")) {
		m := r.e.find(n, st)
		if m == nil || m.isLocked() {
			return nil
		}
		ms = append(ms, m)
	}
	return ms
}

func (r *request) cancel() reply {
	ms := r.byNumber(scheduled)
	if len(ms) == 0 {
		return notFound
	}
	for _, m := range ms {
		if !m.gone { // named twice
			m.remove()
		}
	}
	return ok
}

// maxPeek bounds the messages of one answer.
const maxPeek = 1000

func (r *request) peek() reply {
	from, _ := r.in.Get("from-sequence-number").(int64)
	count, _ := r.in.Get("message-count").(int32)
	session, one := r.in.Get("session-id").(string)
	out := amqp.List{}
	size := 0
	for _, m := range r.e.order[r.e.index(from):] {
		if m.gone || one && m.session() != session {
			continue
		}
		if len(out) >= min(int(count), maxPeek) {
			break
		}
		b := m.render(false)
		if size += len(b); size > r.c.s.opts.MaxMessage && len(out) > 0 {
			break
		}
		out = append(out, amqp.Map{{Key: "message", Value: b}})
	}
	if len(out) == 0 {
		return reply{code: 204, text: "No messages"}
	}
	return answer("messages", out)
}

// receive gets deferred messages.
func (r *request) receive() reply {
	ms := r.byNumber(deferred)
	if len(ms) == 0 {
		return fail(notFound.code, notFound.condition, "Failed to lock one or more specified messages. The message does not exist.")
	}
	for _, m := range ms {
		if !r.holds(m.lane) {
			return statusOf(sessionLost)
		}
	}
	mode, _ := r.in.Get("receiver-settle-mode").(uint32)
	out := amqp.List{}
	for _, m := range slices.Compact(ms) {
		if mode == 0 { // receive and delete
			out = append(out, amqp.Map{{Key: "message", Value: m.render(false)}})
			m.remove()
			continue
		}
		m.lock()
		out = append(out, amqp.Map{{Key: "lock-token", Value: m.token}, {Key: "message", Value: m.render(true)}})
	}
	return answer("messages", out)
}

// byToken finds the messages that a request's lock tokens lock: all, or none.
func (r *request) byToken() (ms []*message) {
	for _, t := range list[amqp.UUID](r.in.Get("lock-tokens")) {
		m := r.e.locked[t]
		if m == nil || !r.holds(m.lane) {
			return nil
		}
		ms = append(ms, m)
	}
	return ms
}

func (r *request) renew() reply {
	ms := r.byToken()
	switch {
	case len(ms) == 0:
		return statusOf(lockLost)
	case r.e.set.RequiresSession:
		return fail(400, "amqp:not-allowed", "A message of a session is locked by its session's lock.")
	}
	until := make(amqp.Array, 0, len(ms))
	for _, m := range ms {
		m.renew()
		until = append(until, m.until)
	}
	return answer("expirations", until)
}

func (r *request) settle() reply {
	ms := r.byToken()
	if len(ms) == 0 {
		return statusOf(lockLost)
	}
	v := verdict{reason: r.in.Text("deadletter-reason"), text: r.in.Text("deadletter-description")}
	v.props, _ = r.in.Get("properties-to-modify").(amqp.Map)
	switch status := r.in.Text("disposition-status"); status {
	case "completed":
		v.name = complete
	case "abandoned":
		v.name = abandon
	case "defered": // as the service spells it
		v.name = deferral
	case "suspended":
		v.name = deadLetter
	default:
		return fail(400, "amqp:invalid-field", fmt.Sprintf("The disposition status %q is not one.", status))
	}
	for _, m := range ms {
		if refused := m.settle(v); refused != nil {
			return statusOf(refused)
		}
	}
	return ok
}

var sessionLost = &refusal{"com.microsoft:session-lock-lost", "The session lock has expired on the MessageSession. Accept a new MessageSession."}

// holds reports whether the client of a request has the lane: a session's is its receiver's, which the request may
// name and whose connection it has to come on.
func (r *request) holds(ln *lane) bool {
	if !r.e.set.RequiresSession {
		return true
	}
	return ln.holder != nil && ln.holder.ses.c == r.c && (r.link == "" || r.link == ln.holder.name)
}

// session finds the session that a request is about.
func (r *request) session() (*lane, *refusal) {
	if !r.e.set.RequiresSession {
		return nil, &refusal{"amqp:not-allowed", fmt.Sprintf("%q does not have sessions.", r.e.path)}
	}
	ln := r.e.lanes[r.in.Text("session-id")]
	if ln == nil || !r.holds(ln) {
		return nil, sessionLost
	}
	return ln, nil
}

func (r *request) renewSession() reply {
	ln, refused := r.session()
	if refused != nil {
		return statusOf(refused)
	}
	ln.renew()
	return answer("expiration", ln.until)
}

func (r *request) getState() reply {
	ln, refused := r.session()
	if refused != nil {
		return statusOf(refused)
	}
	if ln.state == nil {
		return answer("session-state", nil)
	}
	return answer("session-state", ln.state)
}

func (r *request) setState() reply {
	ln, refused := r.session()
	if refused != nil {
		return statusOf(refused)
	}
	b, _ := r.in.Get("session-state").([]byte)
	size := r.e.bytes + len(b) - len(ln.state)
	if size > r.e.set.MaxBytes {
		return statusOf(&refusal{"amqp:resource-limit-exceeded", "The maximum entity size has been reached or exceeded."})
	}
	r.e.bytes = size
	ln.state = nil
	if len(b) > 0 { // a client clears it with null, or with nothing
		ln.state = slices.Clone(b) // without the frame that it came in
	}
	ln.changed = r.c.s.clock.Now()
	return ok
}

func (r *request) sessions() reply {
	after, _ := r.in.Get("last-updated-time").(time.Time)
	skip, _ := r.in.Get("skip").(int32)
	top, _ := r.in.Get("top").(int32)
	ids := r.e.sessionIDs(after)
	ids = ids[min(max(int(skip), 0), len(ids)):]
	ids = ids[:min(max(int(top), 0), len(ids))]
	if len(ids) == 0 {
		return reply{code: 204, text: "No sessions"}
	}
	out := make(amqp.Array, 0, len(ids))
	for _, id := range ids {
		out = append(out, id)
	}
	return reply{code: 200, text: "OK", body: amqp.Map{{Key: "skip", Value: skip + int32(len(ids))}, {Key: "sessions-ids", Value: out}}}
}
