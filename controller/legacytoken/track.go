// Package legacytoken removes tokens of service accounts that were made by
// themselves, are kept in secrets and never expire, once nobody has used them for
// long (KEP-2799). The API server notes on a secret when its token was last used.
package legacytoken

import (
	"maps"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// The config map that says since when uses are noted.
const (
	trackingName = "kube-apiserver-legacy-service-account-token-tracking"
	trackingKey  = "since"
)

// Tracking returns the controller that keeps the config map which says since
// which day uses of tokens are noted.
func Tracking() controller.Controller {
	return controller.Controller{
		Name: "legacy-token-tracking",
		Reads: []controller.Input{
			{Kind: resource.Namespaces.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key { return trackingIn(obj.GetName()) }},
			{Kind: resource.ConfigMaps.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key {
				if obj.GetName() != trackingName {
					return nil
				}
				return trackingIn(obj.GetNamespace())
			}},
		},
		Writes: []controller.Output{{Kind: resource.ConfigMaps.Info, Verbs: []resource.Verb{resource.Create, resource.Update}}},
		Reconcile: func(v *view.View, _ view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			return track(v, now)
		},
	}
}

func trackingIn(namespace string) []view.Key {
	if namespace != metav1.NamespaceSystem {
		return nil
	}
	return []view.Key{{Namespace: namespace, Name: trackingName}}
}

func track(v *view.View, now time.Time) controller.Plan {
	today := map[string]string{trackingKey: now.UTC().Format(resource.LegacyTokenDay)}
	have, ok := view.Get(v, resource.ConfigMaps, metav1.NamespaceSystem, trackingName)
	if !ok {
		if ns, ok := view.Get(v, resource.Namespaces, "", metav1.NamespaceSystem); !ok || ns.DeletionTimestamp != nil {
			return controller.Plan{}
		}
		op := client.Create(resource.ConfigMaps, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: trackingName}, Data: today,
		})
		op.Cause = "uses of service account tokens are noted from now on"
		return controller.Plan{Do: []client.Op{op}}
	}
	if _, ok := day(have.Data[trackingKey]); ok {
		return controller.Plan{}
	}
	next := have.DeepCopy()
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	maps.Copy(next.Data, today)
	op := client.Update(resource.ConfigMaps, next)
	op.Cause = "config map " + trackingName + " does not say a day"
	return controller.Plan{Do: []client.Op{op}}
}

// trackedSince is when a whole day of noting began.
func trackedSince(v *view.View) (time.Time, bool) {
	tracking, ok := view.Get(v, resource.ConfigMaps, metav1.NamespaceSystem, trackingName)
	if !ok {
		return time.Time{}, false
	}
	since, ok := day(tracking.Data[trackingKey])
	return since.AddDate(0, 0, 1), ok
}

// day reads the day that a label or config map says.
func day(text string) (time.Time, bool) {
	at, err := time.Parse(resource.LegacyTokenDay, text)
	return at, err == nil
}
