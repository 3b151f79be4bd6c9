package store

import (
	"errors"
	"fmt"
)

// Errors of a Store, to be tested with errors.Is.
var (
	ErrNotFound  = errors.New("key not found")
	ErrCompacted = errors.New("revision has been compacted")
	ErrFuture    = errors.New("revision has not been reached yet")
	ErrClosed    = errors.New("store is closed")
	// ErrFenced: the key that Write.While names is gone, or another's.
	ErrFenced = errors.New("the writer's time is over")
	// ErrUncertain: the outcome of a write is unknown (timeout, lost
	// connection). Read the key again before deciding anything.
	ErrUncertain = errors.New("outcome of the write is unknown")
)

// ConflictError says that the condition of a Write did not hold. Current is
// the entry that the same transaction saw, so no second read is needed.
type ConflictError struct {
	Key     string
	Current Entry // zero unless Exists
	Exists  bool
}

// Error describes what stands in the way.
func (e *ConflictError) Error() string {
	if !e.Exists {
		return fmt.Sprintf("write %s: conflict: key does not exist", e.Key)
	}
	return fmt.Sprintf("write %s: conflict: key is at revision %d", e.Key, e.Current.ModRevision)
}
