package validate

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Event checks an event that is written in a version: the elder core/v1 is
// lenient, events.k8s.io is not. old is nil on create.
func Event(e, old *corev1.Event, version schema.GroupVersion) field.ErrorList {
	var p problems
	strict := version.Group == "events.k8s.io"
	eventBasics(&p, e, strict)
	switch {
	case !strict:
	case old == nil:
		eventStrict(&p, e)
	default:
		eventUpdate(&p, e, old)
	}
	return p.list()
}

func eventBasics(p *problems, e *corev1.Event, strict bool) {
	namespace := field.NewPath("involvedObject", "namespace")
	about := e.InvolvedObject.Namespace
	if e.EventTime.IsZero() { // an event of the elder kind
		if about == "" && e.Namespace != "" && e.Namespace != metav1.NamespaceDefault || about != "" && e.Namespace != about {
			p.invalid(namespace, about, "does not match event.namespace")
		}
		return
	}
	if about == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		p.invalid(namespace, about, "does not match event.namespace")
	}
	controller := "reportingComponent"
	if strict {
		controller = "reportingController"
	}
	p.need(field.NewPath(controller), e.ReportingController)
	qualifiedName(p, field.NewPath(controller), e.ReportingController)
	short := func(name, value string) {
		p.need(field.NewPath(name), value)
		atMost(p, name, value, 128)
	}
	short("reportingInstance", e.ReportingInstance)
	short("action", e.Action)
	short("reason", e.Reason)
	atMost(p, "message", e.Message, 1024)
}

func atMost(p *problems, name, value string, most int) {
	if len(value) > most {
		p.invalid(field.NewPath(name), "", fmt.Sprintf("can have at most %v characters", most))
	}
}

func eventStrict(p *problems, e *corev1.Event) {
	for _, message := range validation.NameIsDNSSubdomain(e.Name, false) {
		p.invalid(field.NewPath("metadata", "name"), e.Name, message)
	}
	series(p, e)
	if e.EventTime.IsZero() {
		p.required(field.NewPath("eventTime"), "")
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		p.invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", e.Type))
	}
	for _, f := range []namedBool{
		{"firstTimestamp", !e.FirstTimestamp.IsZero()}, {"lastTimestamp", !e.LastTimestamp.IsZero()},
		{"count", e.Count != 0}, {"source", e.Source != corev1.EventSource{}},
	} {
		if f.set {
			p.invalid(field.NewPath(f.name), "", "needs to be unset")
		}
	}
}

func series(p *problems, e *corev1.Event) {
	if e.Series == nil {
		return
	}
	if e.Series.Count < 2 {
		p.invalid(field.NewPath("series.count"), "", "should be at least 2")
	}
	if e.Series.LastObservedTime.IsZero() {
		p.required(field.NewPath("series.lastObservedTime"), "")
	}
}

// eventUpdate: an event is what happened; only its series grows.
func eventUpdate(p *problems, e, old *corev1.Event) {
	if !equality.Semantic.DeepEqual(e.Series, old.Series) {
		series(p, e)
	}
	for _, f := range []struct {
		name     string
		now, was any
	}{
		{"involvedObject", e.InvolvedObject, old.InvolvedObject}, {"reason", e.Reason, old.Reason},
		{"message", e.Message, old.Message}, {"source", e.Source, old.Source},
		{"firstTimestamp", e.FirstTimestamp, old.FirstTimestamp}, {"lastTimestamp", e.LastTimestamp, old.LastTimestamp},
		{"count", e.Count, old.Count}, {"type", e.Type, old.Type},
		{"action", e.Action, old.Action}, {"related", e.Related, old.Related},
		{"reportingController", e.ReportingController, old.ReportingController},
		{"reportingInstance", e.ReportingInstance, old.ReportingInstance},
	} {
		p.add(Immutable(field.NewPath(f.name), f.now, f.was)...)
	}
	// JSON holds microseconds, so nothing finer can be compared.
	if !e.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		p.add(Immutable(field.NewPath("eventTime"), e.EventTime, old.EventTime)...)
	}
}

// Lease checks a lease.
func Lease(l *coordinationv1.Lease) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &l.Spec
	if s.LeaseDurationSeconds != nil && *s.LeaseDurationSeconds <= 0 {
		p.invalid(at.Child("leaseDurationSeconds"), s.LeaseDurationSeconds, "must be greater than 0")
	}
	if s.LeaseTransitions != nil && *s.LeaseTransitions < 0 {
		p.invalid(at.Child("leaseTransitions"), s.LeaseTransitions, "must be greater than or equal to 0")
	}
	if s.PreferredHolder != nil && *s.PreferredHolder != "" && (s.Strategy == nil || *s.Strategy == "") {
		p.forbidden(at.Child("preferredHolder"), "may only be specified if `strategy` is defined")
	}
	return p.list()
}
