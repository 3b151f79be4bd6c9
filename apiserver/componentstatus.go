package apiserver

import (
	"context"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/view"
)

// serveComponents answers how the parts of the control plane are
// (ComponentStatus). Nothing of it is stored.
func (s *Server) serveComponents(w http.ResponseWriter, r *http.Request, c *call) error {
	all := s.components(c.ctx)
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	entry := func(component *corev1.ComponentStatus) *view.Entry {
		return &view.Entry{Info: c.info, Key: view.KeyOf(component), Object: component}
	}
	switch c.verb {
	case "get":
		for _, component := range all {
			if component.Name == c.target.name {
				return c.writeEntry(w, f, http.StatusOK, entry(component))
			}
		}
		return apierrors.NewNotFound(schema.GroupResource{Resource: "componentstatus"}, c.target.name)
	case "list":
		opts, err := c.listOptions(r.URL.Query(), false)
		if err != nil {
			return err
		}
		var entries []*view.Entry
		for _, component := range all {
			if e := entry(component); opts.sel.matches(e) {
				entries = append(entries, e)
			}
		}
		return c.writeList(w, f, metav1.ListMeta{}, slices.Values(entries))
	}
	return errMethod
}

// components are under upstream's names. The scheduler and the controllers live
// in this process, and are well while it answers.
func (s *Server) components(ctx context.Context) []*corev1.ComponentStatus {
	_, err := s.deps.Store.Revision(ctx)
	return []*corev1.ComponentStatus{
		componentStatus("controller-manager", nil), componentStatus("etcd-0", err), componentStatus("scheduler", nil),
	}
}

func componentStatus(name string, err error) *corev1.ComponentStatus {
	health := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err != nil {
		health = corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionFalse, Error: err.Error()}
	}
	return &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Conditions: []corev1.ComponentCondition{health}}
}
