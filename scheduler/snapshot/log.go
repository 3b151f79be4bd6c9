package snapshot

// Change is one entry of a snapshot's log.
type Change struct {
	Node *Node
	// Pod came to the node (Sign 1) or left it (-1). It is nil where the node
	// itself changed.
	Pod  *Pod
	Sign int8
	// Moved is set where the node came, or may be in other places than before.
	Moved bool
}

// log is the latest changes. Who is too far behind starts anew.
type log struct {
	changes []Change
	first   uint64 // the position of changes[0]
}

// maxLog is how many changes are kept at least, beyond which following them one
// by one is no quicker than looking at everything.
const maxLog = 16384

func (l *log) add(c Change) {
	if len(l.changes) >= 2*maxLog {
		l.first += maxLog
		n := copy(l.changes, l.changes[maxLog:])
		clear(l.changes[n:])
		l.changes = l.changes[:n]
	}
	l.changes = append(l.changes, c)
}

// restart leaves everybody behind.
func (l *log) restart() {
	l.first += uint64(len(l.changes)) + 1
	clear(l.changes)
	l.changes = l.changes[:0]
}

// Position is where the log ends. It starts at 1, so that 0 is always behind.
func (s *Snapshot) Position() uint64 { return s.log.first + uint64(len(s.log.changes)) + 1 }

// Since returns the changes since position; it is false where they are no
// longer known.
func (s *Snapshot) Since(position uint64) ([]Change, bool) {
	if position < s.log.first+1 {
		return nil, false
	}
	return s.log.changes[position-s.log.first-1:], true
}
