package admission

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// enforceMountable is the annotation by which a service account keeps its pods
// to the secrets that it names.
const enforceMountable = "kubernetes.io/enforce-mountable-secrets"

// serviceAccount gives a pod its service account with its pull secrets and
// token. Mirror pods, which show what a node runs by itself, stay as they are
// and may use neither accounts nor secrets.
func serviceAccount(suffix func() string) Step {
	return Step{
		Name: "ServiceAccount",
		On: []Match{
			{Operations: creates, Resource: pods, Subresources: itself},
			{Operations: updates, Resource: pods, Subresources: []string{"ephemeralcontainers"}},
		},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			if a.Operation != admissionv1.Create {
				return nil
			}
			pod := a.Object.(*corev1.Pod)
			if mirror(pod) {
				return checkMirror(a, pod)
			}
			if err := setAccount(v, a, pod, suffix); err != nil {
				return err
			}
			return checkAccount(v, a)
		}),
		Validate: pure(checkAccount),
	}
}

func mirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

func setAccount(v *view.View, a *Attributes, pod *corev1.Pod, suffix func() string) error {
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
		pod.Spec.DeprecatedServiceAccount = "default"
	}
	account, err := accountOf(v, a, pod)
	if err != nil {
		return err
	}
	if automount(account, pod) {
		mountToken(pod, suffix)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(account.ImagePullSecrets)
	}
	return nil
}

func accountOf(v *view.View, a *Attributes, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	name := pod.Spec.ServiceAccountName
	if name == "" {
		return nil, a.Forbidden(fmt.Errorf("no service account specified for pod %s/%s", a.Namespace, pod.Name))
	}
	account, ok := view.Get(v, resource.ServiceAccounts, a.Namespace, name)
	if !ok {
		return nil, a.Forbidden(fmt.Errorf("error looking up service account %s/%s: %w", a.Namespace, name,
			apierrors.NewNotFound(corev1.Resource("serviceaccount"), name)))
	}
	return account, nil
}

// checkAccount refuses pods of accounts that do not exist, and secrets beyond
// those of accounts that say so.
func checkAccount(v *view.View, a *Attributes) error {
	pod := a.Object.(*corev1.Pod)
	if a.Operation == admissionv1.Create && mirror(pod) {
		return checkMirror(a, pod)
	}
	account, err := accountOf(v, a, pod)
	if err != nil {
		return err
	}
	if enforce, _ := strconv.ParseBool(account.Annotations[enforceMountable]); !enforce {
		return nil
	}
	m := mountable{account}
	if a.Operation == admissionv1.Update {
		return m.ephemeral(pod)
	}
	if err := m.pod(pod); err != nil {
		return a.Forbidden(err)
	}
	return nil
}

func checkMirror(a *Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return a.Forbidden(errors.New("a mirror pod may not reference service accounts"))
	}
	for range resource.PodSecrets(pod) {
		return a.Forbidden(errors.New("a mirror pod may not reference secrets"))
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected != nil && slices.ContainsFunc(volume.Projected.Sources, func(p corev1.VolumeProjection) bool { return p.ServiceAccountToken != nil }) {
			return a.Forbidden(errors.New("a mirror pod may not use ServiceAccountToken volume projections"))
		}
	}
	return nil
}

// mountable holds a pod to the secrets that its account names.
type mountable struct{ account *corev1.ServiceAccount }

func (m mountable) secret(name string) bool {
	return slices.ContainsFunc(m.account.Secrets, func(r corev1.ObjectReference) bool { return r.Name == name })
}

func (m mountable) pod(pod *corev1.Pod) error {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && !m.secret(v.Secret.SecretName) {
			return fmt.Errorf("volume with secret.secretName=%q is not allowed because service account %s does not reference that secret", v.Secret.SecretName, m.account.Name)
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if err := m.container("init container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	for _, c := range pod.Spec.Containers {
		if err := m.container("container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	for i, ref := range pod.Spec.ImagePullSecrets {
		if !slices.Contains(m.account.ImagePullSecrets, ref) {
			return fmt.Errorf("imagePullSecrets[%d].name=%q is not allowed because service account %s does not reference that imagePullSecret", i, ref.Name, m.account.Name)
		}
	}
	return nil
}

func (m mountable) ephemeral(pod *corev1.Pod) error {
	for _, c := range pod.Spec.EphemeralContainers {
		if err := m.container("ephemeral container", c.Name, c.Env, c.EnvFrom); err != nil {
			return err
		}
	}
	return nil
}

func (m mountable) container(what, name string, env []corev1.EnvVar, from []corev1.EnvFromSource) error {
	for _, e := range env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !m.secret(e.ValueFrom.SecretKeyRef.Name) {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, name, e.Name, e.ValueFrom.SecretKeyRef.Name, m.account.Name)
		}
	}
	for _, e := range from {
		if e.SecretRef != nil && !m.secret(e.SecretRef.Name) {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, name, e.SecretRef.Name, m.account.Name)
		}
	}
	return nil
}

func automount(account *corev1.ServiceAccount, pod *corev1.Pod) bool {
	switch {
	case pod.Spec.AutomountServiceAccountToken != nil:
		return *pod.Spec.AutomountServiceAccountToken
	case account.AutomountServiceAccountToken != nil:
		return *account.AutomountServiceAccountToken
	}
	return true
}

// tokenPath is where a pod's own token is mounted, and tokenLife the seconds it
// is valid: an hour and a little, so that renewals do not fall on the hour, as
// upstream.
const (
	tokenPath         = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenLife         = 3607
	tokenVolumePrefix = "kube-api-access-"
)

// mountToken mounts the token into each container that mounts nothing there
// itself.
func mountToken(pod *corev1.Pod, suffix func() string) {
	i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return strings.HasPrefix(v.Name, tokenVolumePrefix) })
	name := ""
	if i >= 0 {
		name = pod.Spec.Volumes[i].Name
	} else {
		name = tokenVolumePrefix + suffix()
	}
	needed := false
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenPath }) {
				continue
			}
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenPath})
			needed = true
		}
	}
	if needed && i < 0 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, tokenVolume(name))
	}
}

func tokenVolume(name string) corev1.Volume {
	life, mode := int64(tokenLife), corev1.ProjectedVolumeSourceDefaultMode
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &life}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}}
}
