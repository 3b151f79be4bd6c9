package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Names of what machines join by.
const (
	bootstrapType = "bootstrap.kubernetes.io/token"
	clusterInfo   = "cluster-info"
	signature     = "jws-kubeconfig-" // a token's ID follows
)

var bootstrapName = regexp.MustCompile(`\Abootstrap-token-([a-z0-9]{6})\z`)

func isBootstrap(secret *corev1.Secret) bool {
	return secret.Type == bootstrapType && secret.Namespace == metav1.NamespaceSystem
}

// expiry is when a token ends; never is zero. A time that cannot be read has
// come.
func expiry(secret *corev1.Secret) (at time.Time, unreadable bool) {
	text := string(secret.Data["expiration"])
	if text == "" {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err != nil
}

func expired(secret *corev1.Secret, now time.Time) bool {
	at, unreadable := expiry(secret)
	return unreadable || !at.IsZero() && !at.After(now)
}

// Cleaner returns the controller that removes bootstrap tokens when they expire.
func Cleaner() controller.Controller {
	return controller.Controller{
		Name:   "token-cleaner",
		For:    resource.Secrets.Info,
		Wants:  func(obj resource.Object) bool { return isBootstrap(obj.(*corev1.Secret)) },
		Writes: []controller.Output{{Kind: resource.Secrets.Info, Verbs: []resource.Verb{resource.Delete}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			secret, ok := view.Get(v, resource.Secrets, key.Namespace, key.Name)
			if !ok || !isBootstrap(secret) || secret.DeletionTimestamp != nil {
				return controller.Plan{}
			}
			if expired(secret, now) {
				op := client.Delete(resource.Secrets, secret)
				op.Cause = "bootstrap token " + key.Name + " has expired"
				return controller.Plan{Do: []client.Op{op}}
			}
			if at, _ := expiry(secret); !at.IsZero() {
				return controller.Plan{Again: at.Sub(now)}
			}
			return controller.Plan{}
		},
	}
}

// Signer returns the controller that signs the kubeconfig in the ConfigMap
// kube-public/cluster-info with every bootstrap token that is for it, so that a
// machine that knows one can tell the cluster from an impostor.
func Signer() controller.Controller {
	only := view.Key{Namespace: metav1.NamespacePublic, Name: clusterInfo}
	return controller.Controller{
		Name:  "bootstrap-signer",
		For:   resource.ConfigMaps.Info,
		Wants: func(obj resource.Object) bool { return view.KeyOf(obj) == only },
		Reads: []controller.Input{{Kind: resource.Secrets.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key {
			if !isBootstrap(obj.(*corev1.Secret)) {
				return nil
			}
			return []view.Key{only}
		}}},
		Writes: []controller.Output{{Kind: resource.ConfigMaps.Info, Verbs: []resource.Verb{resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			info, ok := view.Get(v, resource.ConfigMaps, key.Namespace, key.Name)
			if !ok {
				return controller.Plan{}
			}
			content, ok := info.Data["kubeconfig"]
			if !ok {
				return controller.Plan{}
			}
			next := info.DeepCopy()
			maps.DeleteFunc(next.Data, func(name, _ string) bool { return strings.HasPrefix(name, signature) })
			for secret := range view.List(v, resource.Secrets, metav1.NamespaceSystem) {
				id, ok := signs(secret, now)
				if !ok {
					continue
				}
				next.Data[signature+id] = detached(content, id, secret.Data["token-secret"])
			}
			if maps.Equal(next.Data, info.Data) {
				return controller.Plan{}
			}
			op := client.Update(resource.ConfigMaps, next)
			op.Cause = "bootstrap tokens have changed"
			return controller.Plan{Do: []client.Op{op}}
		},
	}
}

// signs tells whether a secret is a token that may sign, and its ID. One that
// expires is removed by the cleaner, whose change wakes the signer.
func signs(secret *corev1.Secret, now time.Time) (id string, ok bool) {
	name := bootstrapName.FindStringSubmatch(secret.Name)
	if name == nil || !isBootstrap(secret) || string(secret.Data["token-id"]) != name[1] ||
		len(secret.Data["token-secret"]) == 0 || string(secret.Data["usage-bootstrap-signing"]) != "true" || expired(secret, now) {
		return "", false
	}
	return name[1], true
}

// detached signs content with a token's secret: a JWS that leaves its payload
// out (RFC 7515, appendix F). Libraries refuse keys as short as a token's secret.
func detached(content, id string, secret []byte) string {
	text := base64.RawURLEncoding.EncodeToString
	protected := text([]byte(`{"alg":"HS256","kid":"` + id + `"}`))
	sum := hmac.New(sha256.New, secret)
	sum.Write([]byte(protected + "." + text([]byte(content))))
	return protected + ".." + text(sum.Sum(nil))
}
