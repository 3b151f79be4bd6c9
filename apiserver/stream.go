package apiserver

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveStream passes exec, attach and port-forward requests to the node agent
// that runs the pod.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, c *call) error {
	r, err := s.connect(r, c)
	if err != nil {
		return err
	}
	pod, ok := view.Get(s.View(), resource.Pods, c.target.namespace, c.target.name)
	if !ok {
		return apierrors.NewNotFound(c.version.GR(), c.target.name)
	}
	path, query, err := nodePath(pod, c.target.subresource, r.URL.Query())
	if err != nil {
		return err
	}
	node, err := s.nodeAddress(pod)
	if err != nil {
		return err
	}
	return s.serveUpgrade(w, r, c, &url.URL{Scheme: "https", Host: node, Path: path, RawQuery: query.Encode()})
}

// nodePath is the path and query of the node agent's own API for a
// subresource.
func nodePath(pod *corev1.Pod, subresource string, q url.Values) (string, url.Values, error) {
	endpoint := map[string]string{"exec": "exec", "attach": "attach", "portforward": "portForward"}[subresource]
	path := "/" + endpoint + "/" + pod.Namespace + "/" + pod.Name
	if subresource == "portforward" {
		out := url.Values{}
		if ports := q["ports"]; len(ports) > 0 {
			out.Set("port", strings.Join(ports, ","))
		}
		return path + "/" + string(pod.UID), out, nil
	}
	container, err := containerOf(pod, q.Get("container"))
	if err != nil {
		return "", nil, err
	}
	out := url.Values{}
	for _, name := range []string{"stdin", "stdout", "stderr"} { // the node agent calls them input, output, error, and 1 is true
		if truthy(q.Get(name)) {
			out.Set(map[string]string{"stdin": "input", "stdout": "output", "stderr": "error"}[name], "1")
		}
	}
	if truthy(q.Get("tty")) {
		out.Set("tty", "1")
	}
	for _, word := range q["command"] {
		out.Add("command", word)
	}
	return path + "/" + string(pod.UID) + "/" + container, out, nil
}

// containerOf checks the named container, or takes the only one.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	if name == "" {
		if len(pod.Spec.Containers) != 1 {
			return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %v", pod.Name, names))
		}
		return pod.Spec.Containers[0].Name, nil
	}
	for _, n := range names {
		if n == name {
			return name, nil
		}
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
}

// nodeAddress is host and port of the agent that runs the pod.
func (s *Server) nodeAddress(pod *corev1.Pod) (string, error) {
	if pod.Spec.NodeName == "" {
		return "", apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	node, ok := view.Get(s.View(), resource.Nodes, "", pod.Spec.NodeName)
	if !ok {
		return "", apierrors.NewNotFound(resource.Nodes.Info.GR(), pod.Spec.NodeName)
	}
	return agentAddress(node)
}

// agentAddress is host and port of a node's agent.
func agentAddress(node *corev1.Node) (string, error) {
	port := int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && port > 0 {
			return net.JoinHostPort(a.Address, strconv.Itoa(port)), nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("node %s has told no address yet", node.Name))
}
