package resource

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// EndpointSlices is the kind EndpointSlice.
var EndpointSlices = Define(Kind[*discoveryv1.EndpointSlice]{
	Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Resource: "endpointslices",
	Recheck:    AsNew,
	Namespaced: true,
	Warn:       warnEndpointSlice,
	Validate: func(_ Request, s, old *discoveryv1.EndpointSlice) field.ErrorList {
		return validate.EndpointSlice(s, old)
	},
	Default: defaultEndpointSlice,
	Prepare: prepareEndpointSlice,
	Columns: []Column[*discoveryv1.EndpointSlice]{
		nameColumn[*discoveryv1.EndpointSlice](),
		column("AddressType", discoveryv1.EndpointSlice{}.SwaggerDoc()["addressType"],
			func(s *discoveryv1.EndpointSlice) any { return string(s.AddressType) }),
		column("Ports", discoveryv1.EndpointSlice{}.SwaggerDoc()["ports"],
			func(s *discoveryv1.EndpointSlice) any { return slicePorts(s.Ports) }),
		column("Endpoints", discoveryv1.EndpointSlice{}.SwaggerDoc()["endpoints"],
			func(s *discoveryv1.EndpointSlice) any { return sliceAddresses(s.Endpoints) }),
		ageColumn[*discoveryv1.EndpointSlice](),
	},
	Spec:    endpointSliceSpec,
	Indexes: map[string]func(*discoveryv1.EndpointSlice) []string{EndpointSliceServiceIndex: endpointSliceService},
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

func defaultEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		setIfNil(&s.Ports[i].Name, "")
		setIfNil(&s.Ports[i].Protocol, corev1.ProtocolTCP)
	}
}

// prepareEndpointSlice drops the topology of the beta API, whose place is taken
// by nodeName and zone.
func prepareEndpointSlice(_ Request, s, _ *discoveryv1.EndpointSlice) {
	for i := range s.Endpoints {
		s.Endpoints[i].DeprecatedTopology = nil
	}
}

func slicePorts(ports []discoveryv1.EndpointPort) string {
	var all []string
	for _, p := range ports {
		switch {
		case p.Port != nil:
			all = append(all, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			all = append(all, *p.Name)
		default:
			all = append(all, "*")
		}
	}
	return listSome(all, "<unset>")
}

func sliceAddresses(endpoints []discoveryv1.Endpoint) string {
	var all []string
	for _, e := range endpoints {
		all = append(all, e.Addresses...)
	}
	return listSome(all, "<unset>")
}
