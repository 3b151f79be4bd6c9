package apiserver

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/usage"
	"github.com/skiff-sh/skiff/view"
)

// Usage is what this server gathers from the nodes for metrics.k8s.io.
func (s *Server) Usage() *usage.Gatherer { return s.usage }

// askUsage reads what a node uses.
func (s *Server) askUsage(ctx context.Context, node *corev1.Node) ([]byte, error) {
	address, err := agentAddress(node)
	if err != nil {
		return nil, err
	}
	to := url.URL{Scheme: "https", Host: address, Path: "/metrics/resource"}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask node %s what it uses: %w", node.Name, err)
	}
	resp, err := s.deps.NodeTransport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask node %s what it uses: %w", node.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask node %s what it uses: it answers %s", node.Name, resp.Status)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read what node %s uses: %w", node.Name, err)
	}
	return data, nil
}

// nodeMetrics tells the use of nodes. They have the labels of their nodes.
func (s *Server) nodeMetrics(c *call) ([]resource.Object, error) {
	load, err := s.usage.Load(c.ctx)
	if err != nil {
		return nil, err
	}
	var out []resource.Object
	for node := range view.List(s.View(), resource.Nodes, "") {
		if use, ok := load.Nodes[node.Name]; ok {
			out = append(out, &metricsv1beta1.NodeMetrics{
				ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels, CreationTimestamp: metav1.NewTime(c.now)},
				Timestamp:  metav1.NewTime(use.At), Window: metav1.Duration{Duration: use.Window}, Usage: usageList(use),
			})
		}
	}
	return out, nil
}

// podMetrics tells the use of the pods in the request's namespace, or of all.
func (s *Server) podMetrics(c *call) ([]resource.Object, error) {
	load, err := s.usage.Load(c.ctx)
	if err != nil {
		return nil, err
	}
	var out []resource.Object
	for pod := range view.List(s.View(), resource.Pods, c.target.namespace) {
		if uses := load.Pods[view.KeyOf(pod)]; uses != nil {
			out = append(out, metricsOfPod(pod, uses, metav1.NewTime(c.now)))
		}
	}
	return out, nil
}

// metricsOfPod are as of the end of the window that ended first.
func metricsOfPod(pod *corev1.Pod, uses usage.Pod, now metav1.Time) *metricsv1beta1.PodMetrics {
	m := &metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels, CreationTimestamp: now,
	}}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		use := uses[name]
		if m.Timestamp.IsZero() || use.At.Before(m.Timestamp.Time) {
			m.Timestamp, m.Window = metav1.NewTime(use.At), metav1.Duration{Duration: use.Window}
		}
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: name, Usage: usageList(use)})
	}
	return m
}

func usageList(use usage.Use) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *apiresource.NewScaledQuantity(use.NanoCores, apiresource.Nano),
		corev1.ResourceMemory: *apiresource.NewQuantity(use.Memory, apiresource.BinarySI),
	}
}

// noPodMetrics says that there is no such pod, or that its use is not known, as
// metrics-server does.
func (s *Server) noPodMetrics(c *call) error {
	if _, ok := view.Get(s.View(), resource.Pods, c.target.namespace, c.target.name); !ok {
		return apierrors.NewNotFound(resource.Pods.Info.GR(), c.target.name)
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: c.info.GVK.Group, Resource: "podmetrics"}, c.target.namespace+"/"+c.target.name)
}
