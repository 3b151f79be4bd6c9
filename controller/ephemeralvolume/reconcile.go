// Package ephemeralvolume makes the claims of pods' generic ephemeral volumes
// (KEP-1698). A claim is owned by its pod and goes with it.
package ephemeralvolume

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/ephemeral"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller of pods that have such volumes.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "ephemeral-volume", EventSource: "ephemeral_volume",
		For:   resource.Pods.Info,
		Wants: func(obj resource.Object) bool { return wanting(obj.(*corev1.Pod)) },
		Reads: []controller.Input{{Kind: resource.PersistentVolumeClaims.Info, Keys: podOfClaim}},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumeClaims.Info, Verbs: []resource.Verb{resource.Create}},
		},
		Reconcile: reconcile,
	}
}

func wanting(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil })
}

// podOfClaim names the pods that a claim is made for, or stands in the way of.
func podOfClaim(v *view.View, obj resource.Object) []view.Key {
	claim := obj.(*corev1.PersistentVolumeClaim)
	if owner := metav1.GetControllerOf(claim); owner != nil && owner.Kind == "Pod" {
		return []view.Key{{Namespace: claim.Namespace, Name: owner.Name}}
	}
	var keys []view.Key
	for pod := range view.List(v, resource.Pods, claim.Namespace) {
		if slices.ContainsFunc(pod.Spec.Volumes, func(vol corev1.Volume) bool {
			return vol.Ephemeral != nil && ephemeral.VolumeClaimName(pod, &vol) == claim.Name
		}) {
			keys = append(keys, view.KeyOf(pod))
		}
	}
	return keys
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	pod, ok := view.Get(v, resource.Pods, key.Namespace, key.Name)
	if !ok || !wanting(pod) {
		return controller.Plan{}
	}
	var plan controller.Plan
	volumes := map[string]string{} // by the claim that is to be made
	for i := range pod.Spec.Volumes {
		vol := &pod.Spec.Volumes[i]
		if vol.Ephemeral == nil {
			continue
		}
		name := ephemeral.VolumeClaimName(pod, vol)
		claim, there := view.Get(v, resource.PersistentVolumeClaims, pod.Namespace, name)
		if !there {
			volumes[name] = vol.Name
			plan.Do = append(plan.Do, create(pod, vol, name))
			continue
		}
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			plan.Events = append(plan.Events, refused(pod, vol.Name, err))
			plan.Err = fmt.Errorf("pod %s, ephemeral volume %s: %w", key, vol.Name, err)
			break
		}
	}
	plan.Failed = func(op client.Op, err error) controller.Plan {
		err = fmt.Errorf("create PVC %s: %w", op.Name, err)
		return controller.Plan{Events: []controller.Note{refused(pod, volumes[op.Name], err)}, Err: err}
	}
	return plan
}

func create(pod *corev1.Pod, vol *corev1.Volume, name string) client.Op {
	template := vol.Ephemeral.VolumeClaimTemplate.DeepCopy()
	op := client.Create(resource.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pod, corev1.SchemeGroupVersion.WithKind("Pod"))},
		},
		Spec: template.Spec,
	})
	op.Cause = "volume " + vol.Name + " of pod " + pod.Name + " is made for it"
	return op
}

func refused(pod *corev1.Pod, volume string, err error) controller.Note {
	return controller.Note{Note: event.Note{
		About: pod, Kind: resource.Pods.Info, Warning: true, Reason: "FailedBinding",
		Message: fmt.Sprintf("ephemeral volume %s: %v", volume, err),
	}}
}
