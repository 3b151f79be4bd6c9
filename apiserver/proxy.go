package apiserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// newProxyTransport reaches what pods and services serve. Nobody vouches for
// their certificates.
func newProxyTransport(deps Deps) *http.Transport {
	return &http.Transport{
		DialContext:     deps.ProxyDial,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as upstream: the cluster's own addresses
	}
}

// trusting is t but for checking certificates.
func trusting(t *http.Transport) *http.Transport {
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.InsecureSkipVerify = true
	return t
}

// proxyError writes what went wrong on the way to a backend.
type proxyError struct{}

func (proxyError) Error(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		writeError(w, r, err)
	}
}

// serveProxy passes any request on to a pod, a service or a node, under the
// path that follows "proxy".
func (s *Server) serveProxy(w http.ResponseWriter, r *http.Request, c *call) error {
	r, err := s.connect(r, c)
	if err != nil {
		return err
	}
	location, transport, err := s.proxyTarget(r, c)
	if err != nil {
		return err
	}
	location.Path = utilnet.JoinPreservingTrailingSlash("", c.target.rest)
	if c.target.rest == "" {
		location.Path = ""
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)() // else a long answer would hold up the server's end
	utilproxy.NewUpgradeAwareHandler(location, transport, true, false, proxyError{}).ServeHTTP(w, r.WithContext(ctx))
	return nil
}

func (s *Server) proxyTarget(r *http.Request, c *call) (*url.URL, http.RoundTripper, error) {
	scheme, name, port, valid := utilnet.SplitSchemeNamePort(c.target.name)
	if !valid {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", c.info.Singular, c.target.name))
	}
	switch c.info {
	case resource.Pods.Info:
		pod, ok := view.Get(s.View(), resource.Pods, c.target.namespace, name)
		if !ok {
			return nil, nil, apierrors.NewNotFound(c.info.GR(), name)
		}
		host, err := podHost(pod, port)
		return &url.URL{Scheme: scheme, Host: host}, s.proxyTransport, err
	case resource.Services.Info:
		host, err := s.endpointHost(c.target.namespace, name, port)
		return &url.URL{Scheme: scheme, Host: host}, s.proxyTransport, err
	}
	return s.nodeTarget(scheme, name, port)
}

// proxyable refuses addresses of this machine and its links: they would open
// what only the server may reach.
func proxyable(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && net.IP(addr.AsSlice()).IsGlobalUnicast()
}

func podHost(pod *corev1.Pod, port string) (string, error) {
	for i := range pod.Spec.Containers {
		if ports := pod.Spec.Containers[i].Ports; port == "" && len(ports) > 0 {
			port = strconv.Itoa(int(ports[0].ContainerPort))
		}
	}
	ip := pod.Status.PodIP
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	if !proxyable(ip) {
		return "", apierrors.NewBadRequest("address not allowed")
	}
	return hostPort(ip, port), nil
}

func hostPort(ip, port string) string {
	switch {
	case port != "":
		return net.JoinHostPort(ip, port)
	case netip.MustParseAddr(ip).Is6():
		return "[" + ip + "]"
	}
	return ip
}

// endpointHost is host and port of a ready pod behind the service. port is a
// port's name or its number.
func (s *Server) endpointHost(namespace, name, port string) (string, error) {
	v := s.View()
	service, ok := view.Get(v, resource.Services, namespace, name)
	if n, err := strconv.ParseInt(port, 10, 64); err == nil {
		if !ok {
			return "", apierrors.NewNotFound(resource.Services.Info.GR(), name)
		}
		if port, err = portName(service, n); err != nil {
			return "", err
		}
	}
	return s.readyEndpoint(v, namespace, name, port, func(e *discoveryv1.Endpoint) bool { return isPodAddress(v, namespace, e) })
}

// webhookAddress is host and port of a ready endpoint behind a service's port.
// Who may configure webhooks may have the server call anything, so endpoints need
// not be pods.
func (s *Server) webhookAddress(namespace, name string, port int32) (string, error) {
	v := s.View()
	service, ok := view.Get(v, resource.Services, namespace, name)
	switch {
	case !ok:
		return "", apierrors.NewNotFound(resource.Services.Info.GR(), name)
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return net.JoinHostPort(service.Spec.ExternalName, strconv.Itoa(int(port))), nil
	case service.Spec.ClusterIP == corev1.ClusterIPNone:
		return "", fmt.Errorf("cannot route to service with ClusterIP %q", corev1.ClusterIPNone)
	}
	called, err := portName(service, int64(port))
	if err != nil {
		return "", err
	}
	return s.readyEndpoint(v, namespace, name, called, nil)
}

// readyEndpoint picks one of a service's endpoints that fits.
func (s *Server) readyEndpoint(v *view.View, namespace, name, port string, fits func(*discoveryv1.Endpoint) bool) (string, error) {
	var slices []*discoveryv1.EndpointSlice
	for slice := range view.List(v, resource.EndpointSlices, namespace) {
		if slice.Labels[discoveryv1.LabelServiceName] == name {
			slices = append(slices, slice)
		}
	}
	family := corev1.IPv4Protocol
	if s.config.ServiceCIDRs[0].Addr().Is6() {
		family = corev1.IPv6Protocol
	}
	return proxy.RandomEndpoint(name, slices, port, family, fits)
}

func portName(service *corev1.Service, number int64) (string, error) {
	for _, p := range service.Spec.Ports {
		if int64(p.Port) == number {
			return p.Name, nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, service.Name))
}

// isPodAddress tells whether an endpoint is what it says: a pod's address.
// Anyone may write endpoints, so they alone are not believed.
func isPodAddress(v *view.View, namespace string, e *discoveryv1.Endpoint) bool {
	if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || len(e.Addresses) == 0 || !proxyable(e.Addresses[0]) {
		return false
	}
	pod, ok := view.Get(v, resource.Pods, namespace, e.TargetRef.Name)
	if !ok {
		return false
	}
	for _, ip := range pod.Status.PodIPs {
		if ip.IP == e.Addresses[0] {
			return true
		}
	}
	return false
}

// nodeTarget is the node's agent, reached as the server, or another port of the
// node, reached as anyone.
func (s *Server) nodeTarget(scheme, name, port string) (*url.URL, http.RoundTripper, error) {
	node, ok := view.Get(s.View(), resource.Nodes, "", name)
	if !ok {
		return nil, nil, apierrors.NewNotFound(resource.Nodes.Info.GR(), name)
	}
	agent, err := agentAddress(node)
	if err != nil {
		return nil, nil, err
	}
	ip, agentPort, err := net.SplitHostPort(agent)
	if err != nil || !proxyable(ip) {
		return nil, nil, apierrors.NewBadRequest("address not allowed")
	}
	if port == "" || port == agentPort {
		return &url.URL{Scheme: "https", Host: agent}, s.deps.NodeTransport, nil
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(ip, port)}, s.proxyTransport, nil
}
