// Package scheduler holds Skiff's scheduler against upstream's: both get the
// same nodes and pods, and each rule is compared by itself.
package scheduler

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// upstream is upstream's rules over one world.
type upstream struct {
	world     *world
	framework framework.Framework
	snapshot  *cache.Snapshot
	preempt   *defaultpreemption.DefaultPreemption
}

// absent are the plugins that Skiff has nothing like.
var absent = []string{"DynamicResources", "GangScheduling", "TopologyPlacementGenerator", "PodGroupPodsCount", "NodeDeclaredFeatures", "DeferredPodScheduling"}

func newUpstream(ctx context.Context, w *world) (*upstream, error) {
	metrics.Register()
	all, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("default configuration: %w", err)
	}
	profile := &all.Profiles[0]
	enabled := &profile.Plugins.MultiPoint
	enabled.Enabled = slices.DeleteFunc(enabled.Enabled, func(p config.Plugin) bool { return slices.Contains(absent, p.Name) })
	profile.PluginConfig = slices.DeleteFunc(profile.PluginConfig, func(p config.PluginConfig) bool { return slices.Contains(absent, p.Name) })

	objects := slices.Clone(w.others)
	for _, p := range slices.Concat(w.placed, w.pending) {
		objects = append(objects, p)
	}
	for _, n := range w.nodes {
		objects = append(objects, n)
	}
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	u := &upstream{world: w, snapshot: cache.NewSnapshot(w.placed, w.nodes)}
	options := []frameworkruntime.Option{
		frameworkruntime.WithClientSet(client), frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSnapshotSharedLister(u.snapshot), frameworkruntime.WithMutableSnapshotLister(u.snapshot),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithPodNominator(queue.NewSchedulingQueue(nil, factory)),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()), frameworkruntime.WithPodsInPreBind(frameworkruntime.NewPodsInPreBindMap()),
		frameworkruntime.WithParallelism(2),
	}
	if u.framework, err = frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), profile, options...); err != nil {
		return nil, fmt.Errorf("make upstream's framework: %w", err)
	}
	args := &config.DefaultPreemptionArgs{MinCandidateNodesAbsolute: 100, MinCandidateNodesPercentage: 10}
	if u.preempt, err = defaultpreemption.New(ctx, args, u.framework, feature.Features{}); err != nil {
		return nil, fmt.Errorf("make upstream's preemption: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return u, nil
}

// answer is what one side says of a pod.
type answer struct {
	never    string                      // why it fits no node at all
	rejected map[string]string           // plugin and reasons, by node
	scores   map[string]map[string]int64 // weighted, by node and plugin
	victims  map[string]string           // by node: those who would have to go
}

func (u *upstream) ask(ctx context.Context, pod *corev1.Pod) (answer, error) {
	a := answer{rejected: map[string]string{}, scores: map[string]map[string]int64{}, victims: map[string]string{}}
	state := framework.NewCycleState()
	only, status, _ := u.framework.RunPreFilterPlugins(ctx, state, pod)
	if status.IsRejected() {
		a.never = status.Message()
		return a, nil
	}
	if !status.IsSuccess() {
		return a, status.AsError()
	}
	infos, err := u.snapshot.NodeInfos().List()
	if err != nil {
		return a, err
	}
	var fitting []fwk.NodeInfo
	for _, info := range infos {
		name := info.Node().Name
		if !only.AllNodes() && !only.NodeNames.Has(name) {
			a.rejected[name] = "NodeAffinity"
			continue
		}
		status := u.framework.RunFilterPlugins(ctx, state, pod, info)
		if status.IsSuccess() {
			fitting = append(fitting, info)
			a.scores[name] = map[string]int64{}
			continue
		}
		reasons := slices.Sorted(slices.Values(status.Reasons()))
		a.rejected[name] = fmt.Sprintf("%s %q %v", status.Plugin(), reasons, status.Code() == fwk.UnschedulableAndUnresolvable)
		if status.Code() == fwk.Unschedulable {
			if err := u.victims(ctx, state, pod, info, a.victims); err != nil {
				return a, err
			}
		}
	}
	if len(fitting) == 0 {
		return a, nil
	}
	return a, u.score(ctx, state, pod, fitting, a.scores)
}

func (u *upstream) score(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, fitting []fwk.NodeInfo, scores map[string]map[string]int64) error {
	if status := u.framework.RunPreScorePlugins(ctx, state, pod, fitting); !status.IsSuccess() {
		return status.AsError()
	}
	list, status := u.framework.RunScorePlugins(ctx, state, pod, fitting)
	if !status.IsSuccess() {
		return status.AsError()
	}
	for _, n := range list {
		for _, s := range n.Scores {
			scores[n.Name][s.Name] = s.Score
		}
	}
	return nil
}

func (u *upstream) victims(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, info fwk.NodeInfo, victims map[string]string) error {
	possible, err := u.preempt.Evaluator.GetVictimsOnNode(ctx, info)
	if err != nil {
		return err
	}
	pods, violations, status := u.preempt.SelectVictimsOnNode(ctx, state.Clone(), pod, info.Snapshot(), possible, u.world.budgets)
	if !status.IsSuccess() && !status.IsRejected() {
		return status.AsError()
	}
	var names []string
	for _, p := range pods {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	victims[info.Node().Name] = fmt.Sprint(names, violations)
	return nil
}
