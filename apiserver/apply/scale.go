package apply

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/skiff-sh/skiff/resource"
)

// Scales is the kind Scale as far as writes need it: it is stored nowhere.
var Scales = newScales()

func newScales() *resource.Info {
	same := func(o resource.Object) resource.Object { return o }
	info := &resource.Info{
		GVK: resource.ScaleKind, GVR: autoscalingv1.SchemeGroupVersion.WithResource("scales"), Namespaced: true,
		New: func() resource.Object { return &autoscalingv1.Scale{} },
	}
	info.Served = []*resource.ServedInfo{{Info: info, GVK: info.GVK, GVR: info.GVR, New: info.New, To: same, From: same}}
	return info
}

// scaleSchema is the type of a Scale, which client-go has no schema for.
const scaleSchema = `types:
- name: io.k8s.api.autoscaling.v1.Scale
  map:
    fields:
    - {name: apiVersion, type: {scalar: string}}
    - {name: kind, type: {scalar: string}}
    - {name: metadata, type: {map: {elementType: {namedType: any}}}}
    - name: spec
      type: {map: {fields: [{name: replicas, type: {scalar: numeric}}]}}
    - name: status
      type: {map: {fields: [{name: replicas, type: {scalar: numeric}}, {name: selector, type: {scalar: string}}]}}
- name: any
  scalar: untyped
  list: {elementType: {namedType: any}, elementRelationship: atomic}
  map: {elementType: {namedType: any}, elementRelationship: separable}
`

func scaleTypes() managedfields.TypeConverter {
	parser, err := typed.NewParser(scaleSchema)
	if err != nil { // the text above
		panic(err)
	}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(autoscalingv1.SchemeGroupVersion, &autoscalingv1.Scale{})
	return managedfields.NewSchemeTypeConverter(scheme, parser)
}

// ToScale returns, of an object's managed fields, those who own its replicas, as
// the managed fields of its Scale.
func ToScale(info *resource.Info, entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	return replicas(info, entries).ToSubresource()
}

// FromScale returns the managed fields of an object whose Scale was written and
// has entries since.
func FromScale(info *resource.Info, old, entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	return replicas(info, old).ToParent(entries)
}

// replicas says where each version of the kind keeps its replica count.
func replicas(info *resource.Info, entries []metav1.ManagedFieldsEntry) *managedfields.ScaleHandler {
	path := fieldpath.MakePathOrDie("spec", "replicas")
	paths := managedfields.ResourcePathMappings{}
	for _, served := range info.Served {
		paths[served.GVK.GroupVersion().String()] = path
	}
	return managedfields.NewScaleHandler(entries, info.GVK.GroupVersion(), paths)
}
