// Package token keeps the secrets that hold tokens: those of service accounts are
// filled and go with their account, those by which machines join sign the
// cluster's public description and go when they expire.
package token

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Sign returns the token to keep in a secret of an account.
type Sign func(account *corev1.ServiceAccount, secret string) (string, error)

// Accounts returns the controller of secrets of the type
// kubernetes.io/service-account-token. authority is PEM.
func Accounts(sign Sign, authority []byte) controller.Controller {
	return controller.Controller{
		Name:  "tokens",
		For:   resource.Secrets.Info,
		Reads: []controller.Input{{Kind: resource.ServiceAccounts.Info, Keys: secretsOf}},
		Writes: []controller.Output{
			{Kind: resource.Secrets.Info, Verbs: []resource.Verb{resource.Update, resource.Delete}},
			{Kind: resource.ServiceAccounts.Info, Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			secret, ok := view.Get(v, resource.Secrets, key.Namespace, key.Name)
			if !ok {
				return forget(v, key)
			}
			if !ofAccount(secret) || secret.DeletionTimestamp != nil {
				return controller.Plan{}
			}
			account, ok := view.Get(v, resource.ServiceAccounts, key.Namespace, secret.Annotations[corev1.ServiceAccountNameKey])
			if uid := secret.Annotations[corev1.ServiceAccountUIDKey]; !ok || uid != "" && uid != string(account.UID) {
				op := client.Delete(resource.Secrets, secret)
				op.Cause = "service account " + secret.Annotations[corev1.ServiceAccountNameKey] + " is gone"
				return controller.Plan{Do: []client.Op{op}}
			}
			return fill(secret, account, sign, authority)
		},
	}
}

func ofAccount(secret *corev1.Secret) bool {
	return secret.Type == corev1.SecretTypeServiceAccountToken && secret.Annotations[corev1.ServiceAccountNameKey] != ""
}

// secretsOf names the secrets of an account, and those that it says it has.
func secretsOf(v *view.View, obj resource.Object) []view.Key {
	account := obj.(*corev1.ServiceAccount)
	var keys []view.Key
	for secret := range view.List(v, resource.Secrets, account.Namespace) {
		if ofAccount(secret) && secret.Annotations[corev1.ServiceAccountNameKey] == account.Name {
			keys = append(keys, view.KeyOf(secret))
		}
	}
	return keys
}

// fill writes what a secret lacks: upstream leaves a token that is there.
func fill(secret *corev1.Secret, account *corev1.ServiceAccount, sign Sign, authority []byte) controller.Plan {
	next := secret.DeepCopy()
	if next.Data == nil {
		next.Data = map[string][]byte{}
	}
	changed := false
	set := func(key string, missing bool, value []byte) {
		if missing {
			next.Data[key], changed = value, true
		}
	}
	set(corev1.ServiceAccountRootCAKey, !bytes.Equal(next.Data[corev1.ServiceAccountRootCAKey], authority), authority)
	set(corev1.ServiceAccountNamespaceKey, len(next.Data[corev1.ServiceAccountNamespaceKey]) == 0, []byte(secret.Namespace))
	if len(next.Data[corev1.ServiceAccountTokenKey]) == 0 {
		token, err := sign(account, secret.Name)
		if err != nil {
			return controller.Plan{Err: fmt.Errorf("sign token of %s/%s: %w", account.Namespace, account.Name, err)}
		}
		set(corev1.ServiceAccountTokenKey, true, []byte(token))
	}
	if !changed {
		return controller.Plan{}
	}
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, corev1.ServiceAccountNameKey, account.Name)
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, corev1.ServiceAccountUIDKey, string(account.UID))
	op := client.Update(resource.Secrets, next)
	op.Cause = "secret " + secret.Namespace + "/" + secret.Name + " is to hold a token"
	return controller.Plan{Do: []client.Op{op}}
}

// forget takes a secret that is gone off the lists of the accounts that name it.
func forget(v *view.View, key view.Key) controller.Plan {
	var plan controller.Plan
	is := func(ref corev1.ObjectReference) bool { return ref.Name == key.Name }
	for account := range view.List(v, resource.ServiceAccounts, key.Namespace) {
		if !slices.ContainsFunc(account.Secrets, is) {
			continue
		}
		next := account.DeepCopy()
		next.Secrets = slices.DeleteFunc(next.Secrets, is)
		op := client.Update(resource.ServiceAccounts, next)
		op.Cause = "secret " + key.String() + " is gone"
		plan.Do = append(plan.Do, op)
	}
	return plan
}
