package network

import (
	"fmt"
	"strings"
	"testing"
)

// Wherever writing a note was cut off, only changes that can have been made are
// undone, and the oldest value comes last.
func TestUndoing(t *testing.T) {
	const notes = "net/a 0\nnet/b 4096 131072\nnet/a 2\n"
	for end := range len(notes) + 1 {
		var want []string
		for line := range strings.SplitSeq(notes[:strings.LastIndex(notes[:end], "\n")+1], "\n") {
			if line != "" {
				want = append([]string{line}, want...)
			}
		}
		var got []string
		for _, s := range undoing(notes[:end]) {
			got = append(got, s.name+" "+s.value)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("of %q: %q, want %q", notes[:end], got, want)
		}
	}
}
