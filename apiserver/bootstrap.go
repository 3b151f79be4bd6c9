package apiserver

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Initial is what a cluster starts with, beside what this package knows of.
type Initial struct {
	Defaults *authz.Defaults
	Services []*corev1.Service
	// StorageClasses are made once, in a new cluster: whoever deletes one does not
	// want it.
	StorageClasses []*storagev1.StorageClass
	// Trust is told to extension API servers.
	Trust Trust
}

// bootSteps are what Bootstrap does, in order, by the names that upstream gives
// to whoever does it there: health checks tell of each.
var bootSteps = []struct {
	name string
	do   func(s *Server, ctx context.Context, c client.Client, initial Initial) error
}{
	{"start-system-namespaces-controller", (*Server).ensureNamespaces},
	{"scheduling/bootstrap-system-priority-classes", (*Server).ensurePriorityClasses},
	{"rbac/bootstrap-roles", func(s *Server, ctx context.Context, c client.Client, initial Initial) error {
		return s.ensureDefaults(ctx, c, initial.Defaults)
	}},
	{"priority-and-fairness-config-producer", func(s *Server, ctx context.Context, c client.Client, _ Initial) error {
		return s.ensureFlowControl(ctx, c)
	}},
	{"start-cluster-authentication-info-controller", func(s *Server, ctx context.Context, c client.Client, initial Initial) error {
		return s.ensureTrust(ctx, c, initial.Trust)
	}},
	{"start-kubernetes-service-cidr-controller", (*Server).ensureServices},
}

// Bootstrap writes what every cluster has: its namespaces, the initial objects,
// and the service that leads to this server. What is there already stays.
func (s *Server) Bootstrap(ctx context.Context, initial Initial) error {
	c := s.itself()
	for _, step := range bootSteps {
		if err := step.do(s, ctx, c, initial); err != nil {
			return err
		}
		s.booted.Add(1)
	}
	return nil
}

// itself is the client that the server writes with for its own ends.
func (s *Server) itself() client.Client {
	return s.Local(authn.User{Name: "system:apiserver", Groups: []string{authn.Masters, authn.Authenticated}})
}

func (s *Server) ensureNamespaces(ctx context.Context, c client.Client, initial Initial) error {
	if _, old := view.Get(s.View(), resource.Namespaces, "", metav1.NamespaceSystem); !old {
		for _, class := range initial.StorageClasses {
			if err := ensure(ctx, c, resource.StorageClasses, class); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		if err := ensure(ctx, c, resource.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) ensurePriorityClasses(ctx context.Context, c client.Client, _ Initial) error {
	for _, class := range resource.SystemPriorityClasses() {
		if err := ensure(ctx, c, resource.PriorityClasses, class); err != nil {
			return err
		}
	}
	return nil
}

// ensureServices writes where services' addresses come from, and the services
// that every cluster has.
func (s *Server) ensureServices(ctx context.Context, c client.Client, initial Initial) error {
	if err := s.ensureServiceCIDR(ctx, c); err != nil {
		return err
	}
	if err := s.ensureOwnService(ctx, c); err != nil {
		return err
	}
	for _, service := range initial.Services {
		if err := ensure(ctx, c, resource.Services, service); err != nil {
			return err
		}
	}
	return nil
}

// ensureServiceCIDR shows where the addresses of services come from (KEP-1880).
func (s *Server) ensureServiceCIDR(ctx context.Context, c client.Client) error {
	ranges := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}}
	for _, cidr := range s.config.ServiceCIDRs {
		ranges.Spec.CIDRs = append(ranges.Spec.CIDRs, cidr.String())
	}
	if err := ensure(ctx, c, resource.ServiceCIDRs, ranges); err != nil {
		return err
	}
	have, ok := view.Get(s.View(), resource.ServiceCIDRs, "", ranges.Name)
	if !ok || meta.IsStatusConditionTrue(have.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
		return nil
	}
	next := have.DeepCopy()
	meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Message: "Kubernetes default Service CIDR is ready",
	})
	if _, err := c.Do(ctx, client.UpdateStatus(resource.ServiceCIDRs, next)); err != nil {
		return fmt.Errorf("update ServiceCIDR %s: %w", next.Name, err)
	}
	return nil
}

// ensure creates obj unless it exists.
func ensure[T resource.Object](ctx context.Context, c client.Client, kind *resource.Typed[T], obj T) error {
	if _, ok := view.Get(c.Cache().View(), kind, obj.GetNamespace(), obj.GetName()); ok {
		return nil
	}
	_, err := c.Do(ctx, client.Create(kind, obj))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s %s: %w", kind.Info.GVK.Kind, obj.GetName(), err)
	}
	return nil
}

// ensureOwnService keeps the service default/kubernetes and its endpoints
// pointing at this server.
func (s *Server) ensureOwnService(ctx context.Context, c client.Client) error {
	meta := metav1.ObjectMeta{
		Name: "kubernetes", Namespace: metav1.NamespaceDefault,
		Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"},
	}
	ip := FirstAddress(s.config.ServiceCIDRs[0])
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		ClusterIP: ip.String(), ClusterIPs: []string{ip.String()}, Type: corev1.ServiceTypeClusterIP,
		Ports: []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(s.config.AdvertisePort)}},
	}}
	if err := ensure(ctx, c, resource.Services, service); err != nil {
		return err
	}
	address := s.config.AdvertiseAddress
	if !address.IsValid() || address.IsLoopback() {
		return nil // nothing that a pod could reach
	}
	port := corev1.EndpointPort{Name: "https", Port: s.config.AdvertisePort, Protocol: corev1.ProtocolTCP}
	endpoints := &corev1.Endpoints{ //nolint:staticcheck // upstream keeps this object too
		ObjectMeta: metav1.ObjectMeta{
			Name: "kubernetes", Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{"endpointslice.kubernetes.io/skip-mirror": "true"},
		},
		Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: address.String()}}, Ports: []corev1.EndpointPort{port}}},
	}
	if err := replaceOwn(ctx, c, resource.Endpoints, endpoints); err != nil {
		return err
	}
	return replaceOwn(ctx, c, resource.EndpointSlices, ownSlice(address, port))
}

func ownSlice(address netip.Addr, port corev1.EndpointPort) *discoveryv1.EndpointSlice {
	family := discoveryv1.AddressTypeIPv4
	if address.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	ready := true
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kubernetes", Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"},
		},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &port.Name, Port: &port.Port, Protocol: &port.Protocol}},
	}
}

// replaceOwn writes obj, whatever is stored under its name.
func replaceOwn[T resource.Object](ctx context.Context, c client.Client, kind *resource.Typed[T], obj T) error {
	if _, ok := view.Get(c.Cache().View(), kind, obj.GetNamespace(), obj.GetName()); !ok {
		return ensure(ctx, c, kind, obj)
	}
	if _, err := c.Do(ctx, client.Update(kind, obj)); err != nil {
		return fmt.Errorf("update %s %s: %w", kind.Info.GVK.Kind, obj.GetName(), err)
	}
	return nil
}

// FirstAddress is the first usable address of a service range: that of the
// service "kubernetes".
func FirstAddress(cidr netip.Prefix) netip.Addr { return cidr.Masked().Addr().Next() }
