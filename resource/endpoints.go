package resource

import (
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Endpoints is the kind Endpoints, the elder form of EndpointSlices.
var Endpoints = Define(Kind[*corev1.Endpoints]{
	Version: "v1", Kind: "Endpoints", Resource: "endpoints", Short: []string{"ep"},
	Recheck:    AsUpdateAndNew,
	Namespaced: true, Prefix: "services/endpoints",
	Warn:           warnEndpoints,
	CreateOnUpdate: true,
	Deprecated:     "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
	Validate:       func(_ Request, e, old *corev1.Endpoints) field.ErrorList { return validate.Endpoints(e, old) },
	Default:        defaultEndpoints,
	Columns: []Column[*corev1.Endpoints]{
		nameColumn[*corev1.Endpoints](),
		column("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"], func(e *corev1.Endpoints) any { return endpointsText(e) }),
		ageColumn[*corev1.Endpoints](),
	},
})

func defaultEndpoints(e *corev1.Endpoints) {
	for _, subset := range e.Subsets {
		for i := range subset.Ports {
			setIfEmpty(&subset.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	}
}

func endpointsText(e *corev1.Endpoints) string {
	if len(e.Subsets) == 0 {
		return "<none>"
	}
	var all []string
	for _, s := range e.Subsets {
		if len(s.Ports) == 0 { // a headless service
			for _, a := range s.Addresses {
				all = append(all, a.IP)
			}
		}
		for _, p := range s.Ports {
			for _, a := range s.Addresses {
				all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	return listSome(all, "")
}
