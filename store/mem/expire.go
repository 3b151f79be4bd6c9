package mem

import (
	"time"

	"github.com/tidwall/btree"
)

// deadline orders keys by the time they expire.
type deadline struct {
	at  int64 // Unix nanoseconds
	key string
}

// less lets the tree order by time, then key.
func (d deadline) less(o deadline) bool {
	return d.at < o.at || d.at == o.at && d.key < o.key
}

// setDeadline replaces the key's deadline; ttl 0 removes it. The caller holds mu.
func (s *Store) setDeadline(key string, ttl time.Duration) {
	if at, ok := s.expiry[key]; ok {
		s.deadlines.Delete(deadline{at.UnixNano(), key})
		delete(s.expiry, key)
	}
	if ttl > 0 {
		at := s.now().Add(ttl)
		s.expiry[key] = at
		s.deadlines.Set(deadline{at.UnixNano(), key})
		s.arm()
	}
}

// NextExpiry returns when the next key expires; false when none will. A
// simulated clock jumps there and calls Expire.
func (s *Store) NextExpiry() (time.Time, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.deadlines.Min()
	return time.Unix(0, d.at), ok
}

// Expire deletes the keys whose time has come, each in its own revision.
func (s *Store) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.expire()
	}
}

// due says whether some key has expired. The caller holds mu.
func (s *Store) due() bool {
	d, ok := s.deadlines.Min()
	return ok && d.at <= s.now().UnixNano()
}

// expire is Expire for a caller that holds mu.
func (s *Store) expire() {
	for s.due() {
		d, _ := s.deadlines.PopMin()
		delete(s.expiry, d.key)
		s.apply(d.key, nil)
	}
	s.arm()
}

// arm sets the one timer to the next deadline. The caller holds mu.
func (s *Store) arm() {
	if s.timer == nil {
		return
	}
	if d, ok := s.deadlines.Min(); ok {
		s.timer.Reset(time.Until(time.Unix(0, d.at)))
	}
}

func newDeadlines() *btree.BTreeG[deadline] {
	return btree.NewBTreeGOptions(deadline.less, btree.Options{NoLocks: true})
}
