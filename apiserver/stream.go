package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveStream passes log, exec, attach and port-forward requests to the node
// agent that runs the pod.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, c *call) error {
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
	if c.target.subresource != "log" {
		return s.serveUpgrade(w, r, c, &url.URL{Scheme: "https", Host: node, Path: path, RawQuery: query.Encode()})
	}
	s.proxyToNode(w, r, node, path, query)
	return nil
}

// nodePath is the path and query of the node agent's own API for a
// subresource.
func nodePath(pod *corev1.Pod, subresource string, q url.Values) (string, url.Values, error) {
	endpoint := map[string]string{"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}[subresource]
	path := "/" + endpoint + "/" + pod.Namespace + "/" + pod.Name
	if subresource == "portforward" {
		return path + "/" + string(pod.UID), q, nil
	}
	container, err := containerOf(pod, q.Get("container"))
	if err != nil {
		return "", nil, err
	}
	q.Del("container")
	if subresource == "log" {
		return path + "/" + container, q, nil
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

// containerOf checks the named container, or takes the only one, or the one
// that the annotation kubectl.kubernetes.io/default-container names.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	inits := len(names)
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	if name == "" {
		if len(pod.Spec.Containers) != 1 {
			return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %v", pod.Name, names[inits:]))
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
		return "", apierrors.NewInternalError(fmt.Errorf("node %s of pod %s is gone", pod.Spec.NodeName, pod.Name))
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

// proxyToNode passes the request on, and the answer back, upgraded connections
// included.
func (s *Server) proxyToNode(w http.ResponseWriter, r *http.Request, host, path string, query url.Values) {
	proxy := &httputil.ReverseProxy{
		Transport:     s.deps.NodeTransport,
		FlushInterval: -1, // logs are followed line by line
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "https", host
			p.Out.URL.Path, p.Out.URL.RawQuery = path, query.Encode()
			p.Out.Host = host
			p.Out.Header.Del("Authorization")
		},
		ModifyResponse: asStatus,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, r.Context().Err()) && err != nil {
				return
			}
			writeError(w, r, apierrors.NewInternalError(fmt.Errorf("error dialing backend: %w", err)))
		},
	}
	proxy.ServeHTTP(w, r)
}

// asStatus turns a node agent's plain refusal into the Status that clients of
// the API expect.
func asStatus(res *http.Response) error {
	if res.StatusCode < http.StatusBadRequest {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil {
		return fmt.Errorf("read the node agent's answer: %w", err)
	}
	res.Body.Close()
	status := apierrors.NewGenericServerResponse(res.StatusCode, "", schema.GroupResource{}, "", "", 0, false).ErrStatus
	status.Message = strings.TrimSpace(string(text))
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	data = withType(schema.GroupVersionKind{Version: "v1", Kind: "Status"}, data)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	res.Header.Set("Content-Type", typeJSON)
	res.Header.Set("Content-Length", strconv.Itoa(len(data)))
	return nil
}

// maxRefusal bounds what is read of a node agent's error, in bytes.
const maxRefusal = 16 << 10
