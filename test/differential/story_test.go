package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

const storyFloor = "testdata/stories.json"

// storySlack is how many objects of a story may differ beyond those recorded:
// how often a rollout's replica sets are scaled depends on when pods are ready.
const storySlack = 2

// TestStories holds how many objects of each story differ from upstream's.
func TestStories(t *testing.T) {
	p, err := startPair(t.Context(), "../../bench", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	stories, err := allStories()
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.tell(t.Context(), stories, 14, "", soonQuiet)
	if err != nil {
		t.Fatal(err)
	}
	differ := disagreements(all)
	if *update {
		data, err := json.MarshalIndent(differ, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(storyFloor, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(storyFloor)
	if err != nil {
		t.Fatal(err)
	}
	var most map[string]int
	if err := json.Unmarshal(text, &most); err != nil {
		t.Fatal(err)
	}
	// How many steps a rollout takes depends on when pods are ready, on either
	// side: a story counts as different when it is so again.
	for _, mark := range []string{"-again", "-once-more"} {
		stories = slices.DeleteFunc(stories, func(s story) bool { return differ[s.name] <= most[s.name]+storySlack })
		if len(stories) == 0 {
			break
		}
		again, err := p.tell(t.Context(), stories, 14, mark, surelyQuiet)
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range disagreements(again) {
			differ[name] = min(differ[name], n)
		}
		all = append(all, again...)
	}
	for story, n := range differ {
		if n > most[story]+storySlack {
			t.Errorf("%s: %d objects differ, want at most %d", story, n, most[story]+storySlack)
		}
	}
	var out strings.Builder
	printStories(&out, all)
	t.Log("\n" + out.String())
}

// disagreements are how many objects of each story differ.
func disagreements(chapters []chapter) map[string]int {
	differ := map[string]int{}
	for _, c := range chapters {
		differ[c.Story] += c.Objects - c.Agreed
	}
	return differ
}
