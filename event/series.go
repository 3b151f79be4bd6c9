package event

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

// The bounds are upstream's (client-go, tools/record).
const (
	remembered   = 4096             // notes and objects that are remembered
	burst        = 25               // events about one object from one source at once
	refill       = 5 * time.Minute  // and one more after each
	similarLimit = 10               // from so many different messages on they are combined
	similarSpan  = 10 * time.Minute // within this time
)

const combined = "(combined from similar events): "

// subject is an object, and the part of it, that notes are about.
type subject struct {
	apiVersion, kind, namespace, name, uid, path string
}

// topic is what similar notes share.
type topic struct {
	subject
	class, reason string
}

// line is what equal notes share.
type line struct {
	topic
	message string
}

// budget is a token bucket.
type budget struct {
	tokens float64
	at     time.Time
}

// similar counts the different messages of a topic.
type similar struct {
	messages map[string]struct{}
	at       time.Time
}

// written is an event that is in the cluster, or on its way.
type written struct {
	name  string
	first metav1.Time
	count int32
}

// history decides what becomes of each note. It is pure: the time is an
// argument. It belongs to one goroutine.
type history struct {
	source  corev1.EventSource
	budgets *lru.Cache // subject → *budget
	topics  *lru.Cache // topic → *similar
	lines   *lru.Cache // line → *written
}

func newHistory(source corev1.EventSource) *history {
	return &history{source: source, budgets: lru.New(remembered), topics: lru.New(remembered), lines: lru.New(remembered)}
}

// next returns the event to write for a note; see repeats for one that is in the
// cluster already, under its name. Nil: the note is one too many.
func (h *history) next(n Note, now time.Time) *corev1.Event {
	s := subjectOf(n)
	if !h.afford(s, now) {
		return nil
	}
	ln := lineOf(s, n)
	ev := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespaceOf(s)},
		InvolvedObject: s.reference(),
		Reason:         n.Reason, Message: n.Message, Type: n.kind(),
		ReportingController: h.source.Component, ReportingInstance: h.source.Host,
	}
	ev.InvolvedObject.ResourceVersion = n.About.GetResourceVersion()
	if n.Action == "" && h.many(ln, now) {
		ev.Message = combined + n.Message
		ev.ReportingController, ev.ReportingInstance = "", ""
		ln.message = combined // all of them are one event
	}
	w := h.entry(ln, now)
	w.count++
	ev.Name = w.name
	if n.Action == "" {
		ev.Source, ev.FirstTimestamp, ev.LastTimestamp, ev.Count = h.source, w.first, metav1.NewTime(now), w.count
		return ev
	}
	ev.EventTime, ev.Action = metav1.NewMicroTime(now), n.Action
	ev.ReportingInstance = h.source.Component + "-" + h.source.Host
	if w.count > 1 {
		ev.Series = &corev1.EventSeries{Count: w.count, LastObservedTime: metav1.NewMicroTime(now)}
	}
	return ev
}

func lineOf(s subject, n Note) line {
	ln := line{topic{s, n.kind(), n.Reason}, n.Message}
	if n.Action != "" {
		ln.message = "\x00" + n.Action
	}
	return ln
}

// repeats says that an event tells of one that was written before, and how that
// one is changed.
func repeats(ev *corev1.Event) (patch map[string]any, repeats bool) {
	switch {
	case ev.Series != nil:
		return map[string]any{"series": ev.Series}, true
	case ev.Count > 1:
		return map[string]any{"count": ev.Count, "lastTimestamp": ev.LastTimestamp, "message": ev.Message}, true
	}
	return nil, false
}

func (h *history) entry(ln line, now time.Time) *written {
	if found, ok := h.lines.Get(ln); ok {
		return found.(*written)
	}
	w := &written{name: fmt.Sprintf("%s.%x", ln.name, now.UnixNano()), first: metav1.NewTime(now)}
	h.lines.Add(ln, w)
	return w
}

// forget makes the next note like ev a new event: ev is gone from the cluster.
func (h *history) forget(n Note) {
	ln := lineOf(subjectOf(n), n)
	h.lines.Remove(ln)
	ln.message = combined
	h.lines.Remove(ln)
}

// afford takes one token of the subject's budget.
func (h *history) afford(s subject, now time.Time) bool {
	s.path = ""
	var b *budget
	if found, ok := h.budgets.Get(s); ok {
		b = found.(*budget)
		b.tokens = min(burst, b.tokens+now.Sub(b.at).Seconds()/refill.Seconds())
		b.at = now
	} else {
		b = &budget{tokens: burst, at: now}
		h.budgets.Add(s, b)
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// many says that the topic has had too many different messages lately.
func (h *history) many(ln line, now time.Time) bool {
	var sim *similar
	if found, ok := h.topics.Get(ln.topic); ok {
		sim = found.(*similar)
	} else {
		sim = &similar{messages: map[string]struct{}{}}
		h.topics.Add(ln.topic, sim)
	}
	if now.Sub(sim.at) > similarSpan {
		clear(sim.messages)
	}
	sim.at = now
	if len(sim.messages) < similarLimit {
		sim.messages[ln.message] = struct{}{}
	}
	return len(sim.messages) >= similarLimit
}

func subjectOf(n Note) subject {
	apiVersion, kind := n.Kind.GVK.ToAPIVersionAndKind()
	return subject{
		apiVersion: apiVersion, kind: kind,
		namespace: n.About.GetNamespace(), name: n.About.GetName(), uid: string(n.About.GetUID()),
		path: n.Path,
	}
}

func (s subject) reference() corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: s.apiVersion, Kind: s.kind, Namespace: s.namespace, Name: s.name,
		UID: types.UID(s.uid), FieldPath: s.path,
	}
}

// namespaceOf returns where the event lives: events about objects outside
// namespaces are in "default".
func namespaceOf(s subject) string {
	if s.namespace == "" {
		return metav1.NamespaceDefault
	}
	return s.namespace
}
