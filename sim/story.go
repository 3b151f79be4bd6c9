package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Story is what users do to a cluster, command by command.
type Story struct {
	Name     string
	commands []command
}

// command is one line of a story, and the lines below it.
type command struct {
	words []string
	input string
}

// ParseStories reads stories. Each begins with "== NAME", and its commands with a
// line of their own; what follows up to an empty line is the command's input. The
// commands are those of teller. Lines before the first story are for readers.
func ParseStories(text string) []Story {
	var stories []Story
	for _, part := range strings.Split("\n"+text, "\n== ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		story := Story{Name: name}
		for _, block := range strings.Split(body, "\n\n") {
			line, input, _ := strings.Cut(strings.Trim(block, "\n"), "\n")
			if words := strings.Fields(line); len(words) > 0 {
				story.commands = append(story.commands, command{words, input})
			}
		}
		stories = append(stories, story)
	}
	return stories
}

// Interruption is what happens to one write of controllers or scheduler, counted
// from 1. At 0 nothing happens.
type Interruption struct {
	At    int
	Fault Fault
}

// Told is what became of a cluster that was told a story.
type Told struct {
	Violations []string
	Writes     int      // of controllers and scheduler that an interruption may be at
	State      []string // all fields of all objects, but for what differs from run to run
}

// Tell tells a story to a new cluster, and lets it settle. In order 0 everything is
// seen at once and everyone acts in turn; any other is the seed of how late changes
// are seen and who acts next.
func (s Story) Tell(order uint64, i Interruption, o Options) (Told, error) {
	sim, err := begin(order, o)
	if err != nil {
		return Told{}, fmt.Errorf("begin: %w", err)
	}
	defer sim.close()
	sim.calm, sim.disorder = true, order != 0
	sim.script = func(write int) Fault {
		if write == i.At {
			return i.Fault
		}
		return None
	}
	born := sim.world.API.View().Revision()
	for _, c := range s.commands {
		err := sim.tell(c)
		if len(sim.check.violations) > 0 {
			break
		}
		if err != nil {
			return Told{}, fmt.Errorf("%s: %w", strings.Join(c.words, " "), err)
		}
	}
	if len(sim.check.violations) == 0 {
		sim.settle()
	}
	return Told{sim.check.violations, sim.scripted, state(sim.world.API.View(), born)}, nil
}

// Differences are the lines of two states that the other does not have.
func Differences(undisturbed, disturbed []string) []string {
	var out []string
	for len(undisturbed)+len(disturbed) > 0 {
		switch {
		case len(disturbed) == 0 || len(undisturbed) > 0 && undisturbed[0] < disturbed[0]:
			out, undisturbed = append(out, "undisturbed: "+undisturbed[0]), undisturbed[1:]
		case len(undisturbed) == 0 || disturbed[0] < undisturbed[0]:
			out, disturbed = append(out, "disturbed:   "+disturbed[0]), disturbed[1:]
		default:
			undisturbed, disturbed = undisturbed[1:], disturbed[1:]
		}
	}
	slices.Sort(out)
	return out
}
