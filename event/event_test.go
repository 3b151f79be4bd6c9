package event_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func note(reason, message string) event.Note {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "1", ResourceVersion: "7"}}
	return event.Note{About: cm, Kind: resource.ConfigMaps.Info, Reason: reason, Message: message}
}

func events(c *clienttest.Client) []*corev1.Event {
	var list []*corev1.Event
	for ev := range view.List(c.View(), resource.Events, "") {
		list = append(list, ev)
	}
	return list
}

func TestRepeatedNotesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		r := event.NewRecorder(c, "tester", "host-1", nil, nil)
		for range 3 {
			r.Record(note("Done", "it is done"))
			time.Sleep(time.Second)
		}
		r.Wait()
		list := events(c)
		if len(list) != 1 {
			t.Fatalf("%d events, want 1", len(list))
		}
		ev := list[0]
		if ev.Count != 3 || ev.LastTimestamp.Sub(ev.FirstTimestamp.Time) != 2*time.Second {
			t.Errorf("count %d, first %s, last %s", ev.Count, ev.FirstTimestamp, ev.LastTimestamp)
		}
		want := corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Name: "a", UID: "1", ResourceVersion: "7"}
		if ev.InvolvedObject != want || ev.Source.Component != "tester" || ev.Source.Host != "host-1" || ev.Type != "Normal" {
			t.Errorf("event %+v", ev)
		}
	})
}

// Notes with an action have the form of events.k8s.io: equal in all but their
// message they are a series, which keeps the first one's.
func TestActionsMakeSeries(t *testing.T) {
	c := clienttest.New()
	r := event.NewRecorder(c, "tester", "host-1", nil, nil)
	for i := range 30 {
		n := note("FailedScheduling", fmt.Sprint("no place ", i))
		n.Warning, n.Action = true, "Scheduling"
		r.Record(n)
	}
	r.Wait()
	list := events(c)
	if len(list) != 1 {
		t.Fatalf("%d events, want 1", len(list))
	}
	ev := list[0]
	if ev.Series == nil || ev.Series.Count != 25 || ev.Message != "no place 0" {
		t.Errorf("series %+v of %q, want the 25 that a flood may have, and the first message", ev.Series, ev.Message)
	}
	if ev.Action != "Scheduling" || ev.ReportingController != "tester" || ev.ReportingInstance != "tester-host-1" || ev.EventTime.IsZero() {
		t.Errorf("event %+v", ev)
	}
	if ev.Source != (corev1.EventSource{}) || ev.Count != 0 || !ev.FirstTimestamp.IsZero() || !ev.LastTimestamp.IsZero() {
		t.Errorf("event has fields of the older form: %+v", ev)
	}
}

// An event that has left the store while it is remembered is made anew.
func TestForgottenEventsBeginAgain(t *testing.T) {
	c := clienttest.New()
	r := event.NewRecorder(c, "tester", "", nil, nil)
	r.Record(note("Done", "it is done"))
	r.Wait()
	c.Remove(resource.Events.Info, view.KeyOf(events(c)[0]))
	r.Record(note("Done", "it is done"))
	r.Wait()
	if list := events(c); len(list) != 1 || list[0].Count != 1 {
		t.Errorf("events %+v, want one with count 1", list)
	}
}

func TestSimilarNotesAreCombined(t *testing.T) {
	c := clienttest.New()
	r := event.NewRecorder(c, "tester", "", nil, nil)
	for i := range 20 {
		r.Record(note("Made", fmt.Sprint("made ", i)))
	}
	r.Wait()
	var combined int32
	list := events(c)
	for _, ev := range list {
		if ev.Message == "(combined from similar events): made 19" {
			combined = ev.Count
		}
	}
	if len(list) != 10 || combined != 11 {
		t.Errorf("%d events, %d combined; want 10 and 11", len(list), combined)
	}
}

func TestFloodsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		writes := 0
		c.Before = func(client.Op) error { writes++; return nil }
		r := event.NewRecorder(c, "tester", "", nil, nil)
		for range 100 {
			r.Record(note("Done", "it is done"))
		}
		r.Wait()
		if writes != 25 {
			t.Errorf("%d writes of a flood, want 25", writes)
		}
		time.Sleep(11 * time.Minute)
		for range 100 {
			r.Record(note("Done", "it is done"))
		}
		r.Wait()
		if writes != 27 {
			t.Errorf("%d writes eleven minutes later, want 2 more than 25", writes)
		}
	})
}

// Record must not wait for a cluster that does not answer.
func TestRecordNeverWaits(t *testing.T) {
	c := clienttest.New()
	release := make(chan struct{})
	c.Before = func(client.Op) error { <-release; return nil }
	r := event.NewRecorder(c, "tester", "", nil, nil)
	for i := range 5000 {
		r.Record(note("Done", fmt.Sprint(i)))
	}
	close(release)
	r.Wait()
}
