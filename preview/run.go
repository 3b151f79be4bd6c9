package preview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/view"
)

// Change is what is tried.
type Change struct {
	// Apply, where not nil, changes the fork through its API. It returns what was
	// refused.
	Apply func(ctx context.Context, a Access) (refused []string, err error)
	Drain []string // nodes to cordon, and to evict the pods of
	Lose  []string // nodes that die
	// For is how long the fork goes on afterwards, in its own time.
	For time.Duration
}

// Access is how to reach a fork's API.
type Access struct {
	URL   string // https
	Token string // bearer token of an administrator
	CA    []byte // the server's authority, PEM
}

// How long a fork goes on where the change does not say: the second is time for
// a lost node to be noticed and its pods to be given up.
const (
	applyFor = 2 * time.Minute
	loseFor  = 7 * time.Minute
	// before is how long it goes on before the change: what is about to happen
	// anyway is not the change's doing.
	before = 30 * time.Second
)

// Run tries a change on a copy of a cluster and returns what it leads to.
func Run(ctx context.Context, from *view.View, now time.Time, change Change) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, node := range slices.Concat(change.Drain, change.Lose) {
		if _, ok := view.Get(from, resource.Nodes, "", node); !ok {
			return nil, fmt.Errorf("there is no node %q: \"kubectl get nodes\" lists them", node)
		}
	}
	f, err := newFork(ctx, from, now)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if _, err := f.rest(ctx, before); err != nil {
		return nil, err
	}
	was := f.world.API.View()
	refused, err := f.change(ctx, change)
	if err != nil {
		return nil, err
	}
	settled, err := f.rest(ctx, change.duration())
	if err != nil {
		return nil, err
	}
	report := Compare(was, f.world.API.View(), resource.All())
	report.Refused, report.Unsettled = refused, !settled
	return &report, nil
}

func (c *Change) duration() time.Duration {
	switch {
	case c.For > 0:
		return c.For
	case len(c.Lose) > 0:
		return loseFor
	}
	return applyFor
}

func (f *fork) change(ctx context.Context, change Change) (refused []string, err error) {
	if change.Apply != nil {
		access, stop, err := f.serve()
		if err != nil {
			return nil, err
		}
		refused, err = change.Apply(ctx, access)
		stop()
		if err != nil {
			return nil, err
		}
	}
	for _, node := range change.Lose {
		patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{kubelet.Simulated: kubelet.Lost}}}
		if err := f.do(ctx, client.MergePatch(resource.Nodes, "", node, "", patch)); err != nil {
			return nil, err
		}
	}
	for _, node := range change.Drain {
		held, err := f.drain(ctx, node)
		if err != nil {
			return nil, err
		}
		refused = append(refused, held...)
	}
	return refused, nil
}

func (f *fork) do(ctx context.Context, op client.Op) error {
	_, err := f.world.API.Local(world.Admin()).Do(ctx, op)
	return err
}

// Evictions that a budget holds back are tried again, as "kubectl drain" does.
const (
	drainEvery = 5 * time.Second
	drainTries = 60
)

// drain cordons a node and evicts its pods, but for those that belong to it:
// DaemonSets' and static ones. It returns what budgets hold back for good.
func (f *fork) drain(ctx context.Context, node string) (held []string, err error) {
	if err := f.do(ctx, client.MergePatch(resource.Nodes, "", node, "", map[string]any{"spec": map[string]any{"unschedulable": true}})); err != nil {
		return nil, err
	}
	for range drainTries {
		held = nil
		for p := range view.By(f.world.API.View(), resource.Pods, resource.PodNodeIndex, node) {
			if belongs(p) || p.DeletionTimestamp != nil {
				continue
			}
			err := f.do(ctx, eviction(p))
			switch {
			case apierrors.IsTooManyRequests(err):
				held = append(held, fmt.Sprintf("evict %s/%s: %s", p.Namespace, p.Name, reason(err)))
			case err != nil && !apierrors.IsNotFound(err):
				return nil, err
			}
		}
		if len(held) == 0 {
			return nil, nil
		}
		if _, err := f.rest(ctx, drainEvery); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// reason is what a refusal says, and the budget's own words.
func reason(err error) string {
	text := err.Error()
	if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			text += " " + cause.Message
		}
	}
	return text
}

func eviction(p *corev1.Pod) client.Op {
	return client.Op{
		Verb: resource.Create, Kind: resource.Pods.Info, Subresource: "eviction", Namespace: p.Namespace, Name: p.Name,
		Object: &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}},
	}
}

// belongs tells whether a pod is its node's own.
func belongs(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return ref != nil && ref.Kind == "DaemonSet" || p.Annotations[corev1.MirrorPodAnnotationKey] != ""
}

// JSON is the report for programs.
func (r *Report) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return append(data, '\n'), nil
}
