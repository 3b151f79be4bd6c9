package apiserver

import (
	"testing"
	"time"

	"github.com/skiff-sh/skiff/view"
)

// TestSnapshotsEnd: a view is kept for its life, however often it is asked for,
// so that a continue token expires as it does with upstream.
func TestSnapshotsEnd(t *testing.T) {
	var s snapshots
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := new(view.View)
	s.keep(v, now)
	for after := time.Minute; after < snapshotLife; after += time.Minute {
		s.keep(v, now.Add(after))
		if s.at(v.Revision(), now.Add(after)) != v {
			t.Fatalf("gone after %s", after)
		}
	}
	if s.at(v.Revision(), now.Add(snapshotLife)) != nil {
		t.Error("kept beyond its life")
	}
}
