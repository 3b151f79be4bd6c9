package mem

// Fork returns a store that begins with what this one holds, at its revision and
// without its history; from then on neither sees what the other does. It costs
// next to nothing: the two share what neither has changed.
func (s *Store) Fork(o Options) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := New(o)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = s.keys.Copy()
	f.base = s.revision()
	if f.base > 1 {
		f.compacted = f.base
	}
	for key, at := range s.expiry {
		f.expiry[key] = at
	}
	f.deadlines = s.deadlines.Copy()
	f.arm()
	return f
}
