package apiserver

import (
	"context"
	"time"
)

// AwaitPlaces returns when so many places for writing are taken, and so many
// requests wait for one.
func (s *Server) AwaitPlaces(ctx context.Context, taken, waiting int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && (len(s.writes.free) != taken || int(s.writes.waiting.Load()) != waiting) {
		<-tick.C
	}
}

// AwaitSaving returns when what leads to writes is saved from now on.
func (s *Server) AwaitSaving(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for saving := false; ctx.Err() == nil && !saving; <-tick.C {
		s.causes.mu.Lock()
		saving = s.causes.saving
		s.causes.mu.Unlock()
	}
}
