package main

import (
	"encoding/json"
	"os"
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
	all, err := p.tell(t.Context(), stories, 14)
	if err != nil {
		t.Fatal(err)
	}
	differ := map[string]int{}
	for _, c := range all {
		differ[c.Story] += c.Objects - c.Agreed
	}
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
	for story, n := range differ {
		if n > most[story]+storySlack {
			t.Errorf("%s: %d objects differ, want at most %d", story, n, most[story]+storySlack)
		}
	}
	var out strings.Builder
	printStories(&out, all)
	t.Log("\n" + out.String())
}
