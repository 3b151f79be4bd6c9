package node

import "time"

// The delays between restarts of a container and between pulls of an image, as
// upstream's: doubling, and forgotten after a quiet time.
const (
	backoffFirst  = 10 * time.Second
	backoffMost   = 300 * time.Second
	backoffForget = 2 * backoffMost
)

// Backoff is a growing delay. The zero Backoff lets the first try through.
type Backoff struct {
	Delay time.Duration
	Last  time.Time // when Delay was set
}

// Until returns when something that ended at may be tried again.
func (b Backoff) Until(at time.Time) time.Time {
	if b.Delay == 0 || at.Sub(b.Last) > backoffForget {
		return time.Time{}
	}
	return at.Add(b.Delay)
}

// Next returns the delay after another try, for something that ended at.
func (b Backoff) Next(at time.Time) Backoff {
	if b.Delay == 0 || at.Sub(b.Last) > backoffForget {
		return Backoff{Delay: backoffFirst, Last: at}
	}
	return Backoff{Delay: min(2*b.Delay, backoffMost), Last: at}
}
