package servicebustest

import "time"

// A timer is one moment at which something of a server is due. All of them wait behind one timer of the server's clock.
type timer struct {
	at  time.Time
	pos int
	due func()
}

func (t *timer) before(o *timer) bool { return t.at.Before(o.at) }
func (t *timer) place() *int          { return &t.pos }

// set makes t due at a time, whatever it was before. Its function runs under Server.mu.
func (s *Server) set(t *timer, at time.Time) {
	s.timers.remove(t)
	t.at = at
	s.timers.push(t)
	s.arm()
}

func (s *Server) unset(t *timer) { s.timers.remove(t) }

// after is set for what happens once and is never taken back.
func (s *Server) after(d time.Duration, f func()) {
	s.set(&timer{due: f}, s.clock.Now().Add(d))
}

// arm sees to it that the clock calls tick at the first timer's moment. A call that comes too early does no harm, so
// one that is already ordered for an earlier moment is left as it is.
func (s *Server) arm() {
	if s.closed || len(s.timers) == 0 {
		return
	}
	at := s.timers[0].at
	if s.stopAlarm != nil {
		if !s.alarmAt.After(at) {
			return
		}
		s.stopAlarm()
	}
	s.alarms++
	n := s.alarms
	s.alarmAt = at
	s.stopAlarm = s.clock.AfterFunc(at.Sub(s.clock.Now()), func() { s.tick(n) })
}

func (s *Server) tick(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != s.alarms || s.closed {
		return // another alarm took this one's place
	}
	s.stopAlarm = nil
	s.catchUp()
	s.arm()
}

// catchUp does what is due. Whoever looks at entities calls it first, so that what happens does not depend on whether
// an alarm or a client was quicker.
func (s *Server) catchUp() {
	for len(s.timers) > 0 && !s.timers[0].at.After(s.clock.Now()) {
		t := s.timers[0]
		s.timers.remove(t)
		t.due()
	}
}
