// Package restart decides when a supervised process is started, signalled,
// killed and given up. It is pure: events and the time go in, the next state
// and what to do come out. Package supervise does it.
package restart

import (
	"syscall"
	"time"
)

// Policy says how patient a supervisor is. The zero value means the defaults.
type Policy struct {
	Min   time.Duration // first pause before a restart; default 100 ms
	Max   time.Duration // longest pause; default 5 s
	Good  time.Duration // a run this long resets the pause; default 10 s
	Grace time.Duration // from SIGTERM to SIGKILL; default 10 s
}

// WithDefaults fills what is zero.
func (p Policy) WithDefaults() Policy {
	fill := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	fill(&p.Min, 100*time.Millisecond)
	fill(&p.Max, 5*time.Second)
	fill(&p.Good, 10*time.Second)
	fill(&p.Grace, 10*time.Second)
	return p
}

// Phase is where a supervised process is in its life.
type Phase string

const (
	Idle     Phase = "idle"     // never started
	Starting Phase = "starting" // start ordered, not yet confirmed
	Running  Phase = "running"
	Waiting  Phase = "waiting"  // died; a timer runs until the next start
	Stopping Phase = "stopping" // told to end; a timer runs until it is killed
	Killing  Phase = "killing"  // SIGKILL sent
	Stopped  Phase = "stopped"  // ended on request; final
)

// State is all that a decision needs.
type State struct {
	Phase    Phase
	Since    time.Time     // start of the current run
	Pause    time.Duration // the last pause before a restart; 0 after a good run
	Restarts int
}

// Event is something that happened.
type Event int

const (
	Begin       Event = iota // start supervising
	Started                  // the process runs, or one was adopted
	StartFailed              // it could not be started at all
	Exited                   // it ended
	TimerFired               // the timer last asked for
	Stop                     // someone wants it to end for good
)

// Action is something to do. Actions are done in order.
type Action struct {
	Do     Do
	Signal syscall.Signal // for Signal
	After  time.Duration  // for SetTimer
}

// Do names an action.
type Do int

const (
	Start    Do = iota // start the process; answer with Started or StartFailed
	Signal             // send Action.Signal to the process
	SetTimer           // replace the timer
	Finish             // supervision is over
)

// Step answers one event at time now.
func Step(p Policy, s State, e Event, now time.Time) (State, []Action) {
	switch e {
	case Begin:
		if s.Phase == Idle {
			s.Phase = Starting
			return s, []Action{{Do: Start}}
		}
	case Started:
		return started(p, s, now)
	case StartFailed, Exited:
		return ended(p, s, e, now)
	case TimerFired:
		return fired(s)
	case Stop:
		return stop(p, s)
	}
	return s, nil
}

func started(p Policy, s State, now time.Time) (State, []Action) {
	s.Since = now
	if s.Phase == Stopping { // asked to stop while it was being started
		return s, []Action{{Do: Signal, Signal: syscall.SIGTERM}, {Do: SetTimer, After: p.Grace}}
	}
	s.Phase = Running
	return s, nil
}

func ended(p Policy, s State, e Event, now time.Time) (State, []Action) {
	switch s.Phase {
	case Stopping, Killing:
		s.Phase = Stopped
		return s, []Action{{Do: Finish}}
	case Running, Starting:
		s.Pause = nextPause(p, s.Pause, e == Exited && now.Sub(s.Since) >= p.Good)
		s.Phase = Waiting
		return s, []Action{{Do: SetTimer, After: s.Pause}}
	}
	return s, nil
}

// nextPause doubles from Min to Max, and is Min after a good run.
func nextPause(p Policy, last time.Duration, good bool) time.Duration {
	if good || last == 0 {
		return p.Min
	}
	return min(2*last, p.Max)
}

func fired(s State) (State, []Action) {
	switch s.Phase {
	case Waiting:
		s.Phase = Starting
		s.Restarts++
		return s, []Action{{Do: Start}}
	case Stopping:
		s.Phase = Killing
		return s, []Action{{Do: Signal, Signal: syscall.SIGKILL}}
	}
	return s, nil
}

func stop(p Policy, s State) (State, []Action) {
	switch s.Phase {
	case Idle, Waiting:
		s.Phase = Stopped
		return s, []Action{{Do: Finish}}
	case Starting:
		s.Phase = Stopping // Started or StartFailed follows
	case Running:
		s.Phase = Stopping
		return s, []Action{{Do: Signal, Signal: syscall.SIGTERM}, {Do: SetTimer, After: p.Grace}}
	}
	return s, nil
}
