package controller_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/skiff-sh/skiff/controller"
)

func TestRules(t *testing.T) {
	var calls atomic.Int64
	got := ""
	for _, r := range controller.Rules(copier(&calls)) {
		got += fmt.Sprintln(r.APIGroups, r.Resources, r.Verbs)
	}
	want := `[] [configmaps] [get list watch]
[] [secrets] [get list watch]
[] [secrets] [create delete]
[] [events] [create patch update]
`
	if got != want {
		t.Errorf("rules\n%s\nwant\n%s", got, want)
	}
}
