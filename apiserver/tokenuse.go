package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// noteTokenUse writes on a secret the day on which its token was used (KEP-2799),
// from which controller/legacytoken tells which tokens nobody needs. The request
// goes on whether or not that succeeds.
func (s *Server) noteTokenUse(ctx context.Context, secret *corev1.Secret, day string) {
	op := client.MergePatch(resource.Secrets, secret.Namespace, secret.Name, "", map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "labels": map[string]string{resource.LegacyTokenLastUsed: day},
	}})
	op.Cause = "its token was used"
	if _, err := s.itself().Do(ctx, op); err != nil {
		s.deps.Log.Warn("note the use of a service account's token", "secret", secret.Namespace+"/"+secret.Name, "err", err)
	}
}
