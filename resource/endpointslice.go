package resource

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EndpointSlices is the kind EndpointSlice.
var EndpointSlices = Define(Kind[*discoveryv1.EndpointSlice]{
	Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Resource: "endpointslices",
	Namespaced: true,
	Spec:       endpointSliceSpec,
	Indexes:    map[string]func(*discoveryv1.EndpointSlice) []string{EndpointSliceServiceIndex: endpointSliceService},
})

// EndpointSliceServiceIndex is the index of endpoint slices by the service
// they belong to, as "namespace/name".
const EndpointSliceServiceIndex = "service"

func endpointSliceService(s *discoveryv1.EndpointSlice) []string {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" {
		return nil
	}
	return []string{s.Namespace + "/" + name}
}

// endpointSliceSpec is all of a slice but its metadata: a change of labels
// counts too, since they say whose endpoints these are.
func endpointSliceSpec(s *discoveryv1.EndpointSlice) any {
	return &discoveryv1.EndpointSlice{
		AddressType: s.AddressType, Endpoints: s.Endpoints, Ports: s.Ports,
		ObjectMeta: metav1.ObjectMeta{Labels: s.Labels},
	}
}
