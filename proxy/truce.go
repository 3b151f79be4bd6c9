package proxy

import "time"

// Truce decides how soon to restore rules that somebody else has changed: at
// once the first times, then ever later, so that two programs never fight at
// full speed. The zero value is at peace.
type Truce struct {
	Clashes int       // since the last quiet time
	Last    time.Time // of the last clash
}

// Figures of the truce. A firewall that reloads clashes once or twice.
const (
	truceFree  = 3
	truceFirst = time.Second
	truceMost  = 5 * time.Minute
	truceQuiet = 10 * time.Minute
)

// Clash records one more change by somebody else, and says how long to wait
// before restoring.
func (t Truce) Clash(now time.Time) (Truce, time.Duration) {
	if now.Sub(t.Last) > truceQuiet {
		t.Clashes = 0
	}
	t.Clashes, t.Last = t.Clashes+1, now
	if t.Clashes <= truceFree {
		return t, 0
	}
	wait := truceFirst
	for i := truceFree + 1; i < t.Clashes && wait < truceMost; i++ {
		wait *= 2
	}
	return t, min(wait, truceMost)
}
