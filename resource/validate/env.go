package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func env(p *problems, at *field.Path, vars []corev1.EnvVar) {
	for i := range vars {
		path := at.Index(i)
		if p.need(path.Child("name"), vars[i].Name) {
			p.invalids(path.Child("name"), vars[i].Name, validation.IsRelaxedEnvVarName(vars[i].Name))
		}
		if vars[i].ValueFrom != nil {
			envSource(p, path.Child("valueFrom"), &vars[i])
		}
	}
}

func envSource(p *problems, at *field.Path, v *corev1.EnvVar) {
	from, count := v.ValueFrom, 0
	if from.FieldRef != nil {
		count++
		fieldRef(p, at.Child("fieldRef"), from.FieldRef, "metadata.name", "metadata.namespace", "metadata.uid",
			"spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
	}
	if from.ResourceFieldRef != nil {
		count++
		resourceFieldRef(p, at.Child("resourceFieldRef"), from.ResourceFieldRef, false)
	}
	if ref := from.ConfigMapKeyRef; ref != nil {
		count++
		keyRef(p, at.Child("configMapKeyRef"), ref.Name, ref.Key)
	}
	if ref := from.SecretKeyRef; ref != nil {
		count++
		keyRef(p, at.Child("secretKeyRef"), ref.Name, ref.Key)
	}
	if from.FileKeyRef != nil {
		count++
		fileKeyRef(p, at.Child("fileKeyRef"), from.FileKeyRef)
	}
	switch {
	case count == 0:
		p.invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
	case v.Value != "":
		p.invalid(at, "", "may not be specified when `value` is not empty")
	case count > 1:
		p.invalid(at, "", "may not have more than one field specified at a time")
	}
}

func keyRef(p *problems, at *field.Path, name, key string) {
	objectName(p, at.Child("name"), name)
	if p.need(at.Child("key"), key) {
		p.invalids(at.Child("key"), key, validation.IsConfigMapKey(key))
	}
}

func fileKeyRef(p *problems, at *field.Path, ref *corev1.FileKeySelector) {
	if p.need(at.Child("key"), ref.Key) {
		p.invalids(at.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))
	}
	if p.need(at.Child("volumeName"), ref.VolumeName) {
		dnsLabel(p, at.Child("volumeName"), ref.VolumeName)
	}
	if p.need(at.Child("path"), ref.Path) {
		noBacksteps(p, at.Child("path"), ref.Path)
	}
}

func envFrom(p *problems, at *field.Path, sources []corev1.EnvFromSource) {
	for i, s := range sources {
		path := at.Index(i)
		if s.Prefix != "" {
			p.invalids(path.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))
		}
		reference := func(name, value string) {
			if p.need(path.Child(name, "name"), value) {
				objectName(p, path.Child(name, "name"), value)
			}
		}
		if s.ConfigMapRef != nil {
			reference("configMapRef", s.ConfigMapRef.Name)
		}
		if s.SecretRef != nil {
			reference("secretRef", s.SecretRef.Name)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			p.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`")
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			p.invalid(at, "", "may not have more than one field specified at a time")
		}
	}
}

func downwardFile(p *problems, at *field.Path, f *corev1.DownwardAPIVolumeFile) {
	p.need(at.Child("path"), f.Path)
	localPath(p, at.Child("path"), f.Path)
	switch {
	case f.FieldRef != nil:
		fieldRef(p, at.Child("fieldRef"), f.FieldRef, "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
		if f.ResourceFieldRef != nil {
			p.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
		}
	case f.ResourceFieldRef != nil:
		resourceFieldRef(p, at.Child("resourceFieldRef"), f.ResourceFieldRef, true)
	default:
		p.required(at, "one of fieldRef and resourceFieldRef is required")
	}
	fileMode(p, at.Child("mode"), f.Mode)
	userID(p, at.Child("user"), f.User)
}

// podFieldPaths are the fields of a pod that can be referred to at all.
var podFieldPaths = []string{
	"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
	"spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP",
	"status.hostIPs", "status.podIP", "status.podIPs",
}

func fieldRef(p *problems, at *field.Path, ref *corev1.ObjectFieldSelector, supported ...string) {
	if !p.need(at.Child("apiVersion"), ref.APIVersion) || !p.need(at.Child("fieldPath"), ref.FieldPath) {
		return
	}
	fail := func(format string, args ...any) {
		p.invalid(at.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: "+fmt.Sprintf(format, args...))
	}
	path, subscript, hasSubscript := subscripted(ref.FieldPath)
	if path == "spec.host" {
		path = "spec.nodeName" // as clients of before v1 called it
	}
	switch {
	case ref.APIVersion != "v1":
		fail("unsupported pod version: %s", ref.APIVersion)
	case hasSubscript && path == "metadata.annotations":
		qualifiedName(p, at, strings.ToLower(subscript))
	case hasSubscript && path == "metadata.labels":
		qualifiedName(p, at, subscript)
	case hasSubscript:
		fail("field label does not support subscript: %s", ref.FieldPath)
	case !slices.Contains(podFieldPaths, path):
		fail("field label not supported: %s", ref.FieldPath)
	default:
		supportedOnly(p, at.Child("fieldPath"), path, supported...)
	}
}

// subscripted splits "path['subscript']".
func subscripted(value string) (path, subscript string, ok bool) {
	rest, ok := strings.CutSuffix(value, "']")
	if !ok {
		return value, "", false
	}
	path, subscript, ok = strings.Cut(rest, "['")
	if !ok || path == "" {
		return value, "", false
	}
	return path, subscript, true
}

func resourceFieldRef(p *problems, at *field.Path, ref *corev1.ResourceFieldSelector, inVolume bool) {
	pages := hasPrefixAny(ref.Resource, "requests.hugepages-", "limits.hugepages-")
	switch {
	case inVolume && ref.ContainerName == "":
		p.required(at.Child("containerName"), "")
	case ref.Resource == "":
		p.required(at.Child("resource"), "")
	case !pages:
		supportedOnly(p, at.Child("resource"), ref.Resource, "limits.cpu", "limits.memory", "limits.ephemeral-storage",
			"requests.cpu", "requests.memory", "requests.ephemeral-storage")
	}
	divisor(p, at.Child("divisor"), ref.Resource, ref.Divisor)
}

func divisor(p *problems, at *field.Path, name string, q resource.Quantity) {
	if q.IsZero() {
		return
	}
	_, kind, _ := strings.Cut(name, ".")
	said := map[string]string{"memory": "memory", "ephemeral-storage": "local ephemeral storage"}[kind]
	if strings.HasPrefix(kind, "hugepages-") {
		said = "hugepages"
	}
	switch {
	case kind == "cpu":
		if s := q.String(); s != "1m" && s != "1" {
			p.invalid(at, name, "only divisor's values 1m and 1 are supported with the cpu resource")
		}
	case said != "":
		units := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
		if !slices.Contains(units, q.String()) {
			p.invalid(at, name, fmt.Sprintf("only divisor's values %s are supported with the %s resource", strings.Join(units, ", "), said))
		}
	}
}
