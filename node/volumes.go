package node

import (
	"context"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/node/volume"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// mount makes a pod's volumes, or brings them up to date. It returns when a
// token or certificate in them is to be renewed.
func (a *Agent) mount(ctx context.Context, pod *corev1.Pod, f Facts, v *view.View, again bool) (time.Time, error) {
	cluster := clusterView{v}
	var renew time.Time
	soon := func(at time.Time) {
		if !at.IsZero() && (renew.IsZero() || at.Before(renew)) {
			renew = at
		}
	}
	src := volume.Sources{
		ConfigMap: func(name string) (*corev1.ConfigMap, bool) { return cluster.ConfigMap(pod.Namespace, name) },
		Secret:    func(name string) (*corev1.Secret, bool) { return cluster.Secret(pod.Namespace, name) },
		Field:     func(path string) (string, error) { return FieldValue(f, path) },
		Resource: func(ref *corev1.ResourceFieldSelector) (string, error) {
			return ResourceValue(f, ref, &corev1.Container{})
		},
		Token: func(ctx context.Context, audience string, seconds int64) (string, error) {
			token, at, err := a.tokens.get(ctx, pod, audience, seconds)
			soon(at)
			return token, err
		},
		TrustBundles: cluster.TrustBundles,
		Certificate: func(ctx context.Context, volume string, source int, p *corev1.PodCertificateProjection) (key, chain []byte, err error) {
			c, at, err := a.certificates.get(ctx, pod, certificateKey{pod.UID, volume, source}, p)
			soon(at)
			return c.key, c.chain, err
		},
		Persistent: func(ctx context.Context, v *corev1.Volume) (*corev1.PersistentVolume, error) {
			return a.persistent(ctx, pod, v)
		},
		User: soleUser(pod),
	}
	if sc := pod.Spec.SecurityContext; sc != nil {
		src.Group = sc.FSGroup
	}
	if again {
		return renew, a.volumes.Refresh(ctx, pod, src)
	}
	return renew, a.volumes.Mount(ctx, pod, src)
}

// soleUser returns the user that all containers of a pod run as, or nil.
func soleUser(pod *corev1.Pod) *int64 {
	var user *int64
	for i, c := range everyContainer(pod) {
		sc := EffectiveSecurity(pod, c)
		if sc.RunAsUser == nil || i > 0 && (user == nil || *user != *sc.RunAsUser) {
			return nil
		}
		user = sc.RunAsUser
	}
	return user
}

// refresh brings a pod's volumes up to date in the background, one run at a
// time.
func (a *Agent) refresh(r *record) {
	if !r.state.Mounted || r.state.Cleaned {
		return
	}
	if r.refreshing {
		r.stale = true
		return
	}
	r.refreshing, r.refresh = true, time.Time{}
	pod, v := r.granted, a.client.Cache().View()
	f := Facts{Pod: pod, PodIPs: a.podIPs(r), HostIPs: a.config.Addresses, Allocatable: a.node.Status.Allocatable}
	a.work.Go(func() {
		next, err := a.mount(a.ctx, pod, f, v, true)
		a.post(func() {
			r.refreshing = false
			if err != nil {
				a.tell(pod, Event{Warning: true, Reason: "FailedMount", Message: err.Error()})
				next = time.Now().Add(retryMost)
			}
			r.refresh = next
			if r.stale {
				r.stale = false
				a.refresh(r)
			}
			if a.pods[r.uid] == r {
				a.step(r, time.Now())
			}
		})
	})
}

// tokens keeps the service account tokens of the node's pods until they are to
// be renewed.
type tokens struct {
	client client.Client
	mu     sync.Mutex
	kept   map[tokenKey]keptToken
}

type tokenKey struct {
	pod      types.UID
	audience string
	seconds  int64
}

type keptToken struct {
	token string
	renew time.Time
}

func newTokens(c client.Client) *tokens {
	return &tokens{client: c, kept: map[tokenKey]keptToken{}}
}

// get returns a token for a pod and when to ask for the next: at 80 % of its
// life, or after a day (KEP-1205).
func (t *tokens) get(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (string, time.Time, error) {
	key := tokenKey{pod.UID, audience, seconds}
	now := time.Now()
	t.mu.Lock()
	kept, ok := t.kept[key]
	t.mu.Unlock()
	if ok && now.Before(kept.renew) {
		return kept.token, kept.renew, nil
	}
	request := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName},
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		},
	}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	obj, err := t.client.Do(ctx, client.Op{
		Verb: resource.Create, Kind: resource.ServiceAccounts.Info, Subresource: "token",
		Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName, Object: request,
	})
	if err != nil {
		return "", time.Time{}, err
	}
	status := obj.(*authenticationv1.TokenRequest).Status
	life := status.ExpirationTimestamp.Sub(now)
	kept = keptToken{status.Token, now.Add(min(life*8/10, 24*time.Hour))}
	t.mu.Lock()
	t.kept[key] = kept
	t.mu.Unlock()
	return kept.token, kept.renew, nil
}

// forget drops the tokens of a pod.
func (t *tokens) forget(pod types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.kept {
		if key.pod == pod {
			delete(t.kept, key)
		}
	}
}
