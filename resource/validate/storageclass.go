package validate

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of what a class tells its provisioner: keys, and bytes in all.
const (
	maxParameters     = 512
	maxParameterBytes = 256 << 10
)

// StorageClass checks a class. What decides about volumes cannot change.
func StorageClass(c, old *storagev1.StorageClass) field.ErrorList {
	var p problems
	if c.Provisioner == "" {
		p.declared(field.Required(field.NewPath("provisioner"), ""))
	} else {
		qualifiedName(&p, field.NewPath("provisioner"), strings.ToLower(c.Provisioner))
	}
	parameters(&p, field.NewPath("parameters"), c.Parameters)
	if policy := c.ReclaimPolicy; policy != nil && *policy != "" {
		supportedOnly(&p, field.NewPath("reclaimPolicy"), *policy, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)
	}
	if mode := c.VolumeBindingMode; mode == nil {
		p.required(field.NewPath("volumeBindingMode"), "")
	} else {
		supportedOnly(&p, field.NewPath("volumeBindingMode"), *mode, storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)
	}
	allowedTopologies(&p, field.NewPath("allowedTopologies"), c.AllowedTopologies)
	if old != nil { // in the order of the type
		p.immutable(field.NewPath("provisioner"), c.Provisioner, old.Provisioner)
		p.immutable(field.NewPath("parameters"), c.Parameters, old.Parameters)
		p.immutable(field.NewPath("reclaimPolicy"), c.ReclaimPolicy, old.ReclaimPolicy)
		p.immutable(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, old.VolumeBindingMode)
	}
	return p.list()
}

// parameters checks what a driver is told of its volumes.
func parameters(p *problems, at *field.Path, list map[string]string) {
	if len(list) > maxParameters {
		p.add(field.TooLong(at, "", maxParameters))
		return
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(list)) {
		if key == "" {
			p.invalid(at, key, "field can not be empty.")
		}
		size += len(key) + len(list[key])
	}
	if size > maxParameterBytes {
		p.add(field.TooLong(at, "", maxParameterBytes))
	}
}

func allowedTopologies(p *problems, at *field.Path, terms []corev1.TopologySelectorTerm) {
	seen := make([]map[string]sets.Set[string], len(terms)) // empty ones, so that a term without expressions is a duplicate, as upstream has it
	for i, term := range terms {
		path := at.Index(i).Child("matchLabelExpressions")
		values := map[string]sets.Set[string]{}
		for j, e := range term.MatchLabelExpressions {
			one := path.Index(j)
			if len(e.Values) == 0 {
				p.required(one.Child("values"), "")
			}
			set := sets.New[string]()
			for k, v := range e.Values {
				if set.Has(v) {
					p.add(field.Duplicate(one.Child("values").Index(k), v))
				}
				set.Insert(v)
			}
			labelName(p, one.Child("key"), e.Key)
			if _, ok := values[e.Key]; ok {
				p.add(field.Duplicate(one.Child("key"), e.Key))
			}
			values[e.Key] = set
		}
		for _, other := range seen {
			if equality.Semantic.DeepEqual(values, other) {
				p.add(field.Duplicate(path, ""))
			}
		}
		seen = append(seen, values)
	}
}
