package legacytoken

import (
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// CleanerName is the controller's name, and its account's.
const CleanerName = "legacy-service-account-token-cleaner"

// cleanUpPeriod is how long a token must be out of use to become invalid, and
// invalid to go: upstream's --legacy-service-account-token-clean-up-period.
const cleanUpPeriod = 365 * 24 * time.Hour

// Cleaner returns the controller that makes unused tokens invalid, and later
// removes them.
func Cleaner() controller.Controller {
	return controller.Controller{
		Name:  CleanerName,
		For:   resource.Secrets.Info,
		Wants: func(obj resource.Object) bool { return holdsToken(obj.(*corev1.Secret)) },
		Reads: []controller.Input{
			{Kind: resource.ServiceAccounts.Info, Keys: listed},
			{Kind: resource.Pods.Info, Keys: named},
			{Kind: resource.ConfigMaps.Info, Keys: tracked},
		},
		Writes: []controller.Output{{Kind: resource.Secrets.Info, Verbs: []resource.Verb{resource.Patch, resource.Delete}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			return clean(v, key, now)
		},
	}
}

func holdsToken(secret *corev1.Secret) bool {
	return secret.Type == corev1.SecretTypeServiceAccountToken
}

// listed are the secrets that an account lists as its own.
func listed(_ *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for _, ref := range obj.(*corev1.ServiceAccount).Secrets {
		keys = append(keys, view.Key{Namespace: obj.GetNamespace(), Name: ref.Name})
	}
	return keys
}

// named are the tokens' secrets that a pod names.
func named(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for name := range resource.PodSecrets(obj.(*corev1.Pod)) {
		if secret, ok := view.Get(v, resource.Secrets, obj.GetNamespace(), name); ok && holdsToken(secret) {
			keys = append(keys, view.KeyOf(secret))
		}
	}
	return keys
}

// tracked are all tokens' secrets, when the day changes from which uses are noted.
func tracked(v *view.View, obj resource.Object) []view.Key {
	if obj.GetName() != trackingName || trackingIn(obj.GetNamespace()) == nil {
		return nil
	}
	var keys []view.Key
	for secret := range view.List(v, resource.Secrets, "") {
		if holdsToken(secret) {
			keys = append(keys, view.KeyOf(secret))
		}
	}
	return keys
}

func clean(v *view.View, key view.Key, now time.Time) controller.Plan {
	secret, ok := view.Get(v, resource.Secrets, key.Namespace, key.Name)
	if !ok || !holdsToken(secret) || secret.DeletionTimestamp != nil {
		return controller.Plan{}
	}
	unused, ok := unusedSince(v, secret)
	if !ok || !madeByItself(v, secret) || mounted(v, secret) {
		return controller.Plan{}
	}
	if left := unused.Add(cleanUpPeriod).Sub(now); left > 0 {
		return controller.Plan{Again: left}
	}
	invalid, ok := day(secret.Labels[resource.LegacyTokenInvalidSince])
	if !ok {
		return invalidate(secret, now)
	}
	if left := invalid.AddDate(0, 0, 1).Add(cleanUpPeriod).Sub(now); left > 0 {
		return controller.Plan{Again: left}
	}
	op := client.Delete(resource.Secrets, secret)
	op.Delete.Preconditions.ResourceVersion = &secret.ResourceVersion // a use changes it
	op.Cause = "the token has been invalid since " + secret.Labels[resource.LegacyTokenInvalidSince]
	return controller.Plan{Do: []client.Op{op}}
}

// unusedSince is from when on it is known that nobody has used a token. A label
// that says no day leaves it open.
func unusedSince(v *view.View, secret *corev1.Secret) (time.Time, bool) {
	since, ok := trackedSince(v)
	if !ok {
		return time.Time{}, false
	}
	if made := secret.CreationTimestamp.Time; made.After(since) {
		since = made
	}
	text, used := secret.Labels[resource.LegacyTokenLastUsed]
	if !used {
		return since, true
	}
	last, ok := day(text)
	if after := last.AddDate(0, 0, 1); after.After(since) {
		since = after
	}
	return since, ok
}

// madeByItself tells whether a secret was made along with its account, which then
// lists it: those that people make are theirs to keep.
func madeByItself(v *view.View, secret *corev1.Secret) bool {
	account, ok := view.Get(v, resource.ServiceAccounts, secret.Namespace, secret.Annotations[corev1.ServiceAccountNameKey])
	if uid := secret.Annotations[corev1.ServiceAccountUIDKey]; !ok || uid != "" && uid != string(account.UID) {
		return false
	}
	return slices.ContainsFunc(account.Secrets, func(ref corev1.ObjectReference) bool { return ref.Name == secret.Name })
}

func mounted(v *view.View, secret *corev1.Secret) bool {
	for pod := range view.List(v, resource.Pods, secret.Namespace) {
		for name := range resource.PodSecrets(pod) {
			if name == secret.Name {
				return true
			}
		}
	}
	return false
}

func invalidate(secret *corev1.Secret, now time.Time) controller.Plan {
	op := client.MergePatch(resource.Secrets, secret.Namespace, secret.Name, "", map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "labels": map[string]string{resource.LegacyTokenInvalidSince: now.UTC().Format(resource.LegacyTokenDay)},
	}})
	op.Cause = "nobody has used the token for a year"
	return controller.Plan{Do: []client.Op{op}}
}
