package watchcache

import (
	"errors"
	"sort"

	"github.com/skiff-sh/skiff/view"
)

// ErrTooOld says that changes after the wanted revision are no longer kept: the
// reader must list again (410 Gone in the API).
var ErrTooOld = errors.New("watch: the wanted revision is no longer in the log")

// Change is one write to one object. Old is nil for a creation, New for a
// deletion.
type Change struct {
	Revision int64
	Old, New *view.Entry
}

// Entry returns what the change left, or what it took away.
func (c Change) Entry() *view.Entry {
	if c.New != nil {
		return c.New
	}
	return c.Old
}

// log keeps the latest changes of one kind in revision order. It is pure: the
// cache holds the lock.
type log struct {
	changes []Change
	// dropped is the revision up to which changes are gone or were never seen.
	dropped int64
	limit   int
}

// append adds a change. When the log is full its older half goes, and with it the
// encoded forms that the writers' answers and the watchers shared: of objects that
// rest they would take as much memory as the objects.
func (l *log) append(c Change) {
	if len(l.changes) >= l.limit {
		half := len(l.changes) / 2
		l.dropped = l.changes[half-1].Revision
		for _, old := range l.changes[:half] {
			if old.New != nil {
				old.New.Forget()
			}
		}
		l.changes = append(make([]Change, 0, l.limit), l.changes[half:]...)
	}
	l.changes = append(l.changes, c)
}

// after returns the changes with a revision above from. The slice is shared and
// must not be changed; append never writes to its elements.
func (l *log) after(from int64) ([]Change, error) {
	if from < l.dropped {
		return nil, ErrTooOld
	}
	i := sort.Search(len(l.changes), func(i int) bool { return l.changes[i].Revision > from })
	return l.changes[i:len(l.changes):len(l.changes)], nil
}
