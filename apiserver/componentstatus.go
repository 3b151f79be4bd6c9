package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
)

// components tell how the parts of the control plane are (ComponentStatus), under
// upstream's names. The scheduler and the controllers live in this process, and
// are well while it answers.
func (s *Server) components(ctx context.Context) []resource.Object {
	_, err := s.deps.Store.Revision(ctx)
	return []resource.Object{
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
