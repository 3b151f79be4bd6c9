// Corepeer measures the core of upstream's scheduler on the bench's cases, in its
// own process: its queue, cache, framework and plugins in their default
// configuration, with the decision of each pod taken as upstream takes it, and
// nothing written to an API server. For each case it prints a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clientcache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/skiff-sh/skiff/bench/scheduling"
)

func main() {
	nodes := flag.Int("nodes", 1000, "how many nodes there are")
	limit := flag.Duration("time", 3*time.Second, "how long pods of a case are placed at most")
	flag.Parse()
	if err := run(*nodes, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "corepeer:", err)
		os.Exit(1)
	}
}

func run(nodes int, limit time.Duration) error {
	klog.SetLogger(klog.Logger{}) // it logs every preemption
	// Victims are gone when a decision is made: who waits for a goroutine that
	// deletes them would be measured too.
	if err := utilfeature.DefaultMutableFeatureGate.Set("SchedulerAsyncPreemption=false"); err != nil {
		return err
	}
	for _, c := range scheduling.Cases() {
		rate, err := measure(c, nodes, limit)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(scheduling.PeerRate{Case: c.Name, Rate: rate}); err != nil {
			return err
		}
	}
	return nil
}

// peer is upstream's scheduler without its loop.
type peer struct {
	*scheduler.Scheduler
	ctx      context.Context
	snapshot *cache.Snapshot
	known    clientcache.Store // pods that preemption looks up
	placed   map[string]*corev1.Pod
	failed   error // of what is called back
}

func newPeer(ctx context.Context) (*peer, error) {
	p := &peer{ctx: ctx, snapshot: cache.NewEmptySnapshot(), placed: map[string]*corev1.Pod{}}
	client := &fake.Clientset{}
	client.AddReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if d, ok := action.(clienttesting.DeleteAction); ok {
			p.failed = errors.Join(p.failed, p.Cache.RemovePod(klog.Background(), p.placed[d.GetName()]))
		}
		return true, &corev1.Pod{}, nil
	})
	factory := informers.NewSharedInformerFactory(client, 0)
	recorder := func(string) events.EventRecorderLogger { return &events.FakeRecorder{} } // without a channel it drops them
	p.known = factory.Core().V1().Pods().Informer().GetStore()
	var err error
	p.Scheduler, err = scheduler.New(ctx, client, factory, nil, recorder, scheduler.WithNodeInfoSnapshot(p.snapshot))
	return p, err
}

func measure(c scheduling.Case, nodes int, limit time.Duration) (float64, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, err := newPeer(ctx)
	if err != nil {
		return 0, err
	}
	for i := range nodes {
		p.Cache.AddNode(klog.Background(), c.Node(i))
	}
	for i := range c.Inits(nodes) {
		if err := p.assume(c.Init(i), fmt.Sprintf("node-%d", i%nodes)); err != nil {
			return 0, err
		}
	}
	var pods []*corev1.Pod
	for i := range c.Pods(nodes) {
		pods = append(pods, c.Pod(i))
	}
	done, began := 0, time.Now()
	for i, pod := range pods {
		if c.Waiting > 0 && i%c.Waiting == 0 {
			if node, err := p.decide(scheduling.Hopeless(i)); err != nil || node != "" {
				return 0, fmt.Errorf("the hopeless pod is placed on %q: %w", node, err)
			}
		}
		if err := p.place(pod, c.Preempts); err != nil {
			return 0, err
		}
		if done++; time.Since(began) > limit {
			break
		}
	}
	return float64(done) / time.Since(began).Seconds(), p.failed
}

// place decides on a pod, again where others first had to go, and takes note of it.
func (p *peer) place(pod *corev1.Pod, preempt bool) error {
	node, err := p.decide(pod)
	if err == nil && node == "" && preempt {
		node, err = p.decide(pod)
	}
	if err != nil {
		return err
	}
	if node == "" {
		return fmt.Errorf("%s fits nowhere", pod.Name)
	}
	return p.assume(pod.DeepCopy(), node)
}

// decide takes a pod through the queue and one scheduling cycle. The node is ""
// where it fits none; then others have been preempted if that helps.
func (p *peer) decide(pod *corev1.Pod) (string, error) {
	logger := klog.Background()
	if err := p.known.Add(pod); err != nil {
		return "", err
	}
	p.SchedulingQueue.Add(p.ctx, pod)
	next, err := p.NextEntity(logger)
	if err != nil {
		return "", err
	}
	info := next.(*framework.QueuedPodInfo)
	defer p.SchedulingQueue.Done(info.Pod.UID)
	if err := p.Cache.UpdateSnapshot(logger, p.snapshot); err != nil {
		return "", err
	}
	profile, state := p.Profiles[corev1.DefaultSchedulerName], framework.NewCycleState()
	result, err := p.SchedulePod(p.ctx, profile, state, info)
	var unfit *framework.FitError
	if errors.As(err, &unfit) {
		_, status := profile.RunPostFilterPlugins(p.ctx, state, info.Pod, unfit.Diagnosis.NodeToStatus)
		if status.IsSuccess() || status.IsRejected() {
			return "", nil
		}
		return "", status.AsError()
	}
	return result.SuggestedHost, err
}

func (p *peer) assume(pod *corev1.Pod, node string) error {
	pod.Spec.NodeName = node
	p.placed[pod.Name] = pod
	return p.Cache.AssumePod(klog.Background(), pod)
}
