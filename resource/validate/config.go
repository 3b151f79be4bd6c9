package validate

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxDataBytes bounds the data of a config map or secret.
const maxDataBytes = corev1.MaxSecretSize

const whenImmutable = "field is immutable when `immutable` is set"

// ConfigMap checks a config map; old is nil on create.
func ConfigMap(m, old *corev1.ConfigMap) field.ErrorList {
	var p problems
	data, binary := field.NewPath("data"), field.NewPath("binaryData")
	if old != nil && isTrue(old.Immutable) {
		if !isTrue(m.Immutable) {
			p.forbidden(field.NewPath("immutable"), whenImmutable)
		}
		if !sameMap(m.Data, old.Data) {
			p.forbidden(data, whenImmutable)
		}
		if !sameMap(m.BinaryData, old.BinaryData) {
			p.forbidden(binary, whenImmutable)
		}
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		p.invalids(data.Key(key), key, validation.IsConfigMapKey(key))
		if _, ok := m.BinaryData[key]; ok {
			p.invalid(data.Key(key), key, "duplicate of key present in binaryData")
		}
		size += len(m.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(m.BinaryData)) {
		p.invalids(binary.Key(key), key, validation.IsConfigMapKey(key))
		size += len(m.BinaryData[key])
	}
	if size > maxDataBytes {
		p.add(field.TooLong(field.NewPath(""), "", maxDataBytes))
	}
	return p.list()
}

// sameMap compares maps; one that is empty is as good as none.
func sameMap[V any](a, b map[string]V) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// Secret checks a secret; old is nil on create.
func Secret(s, old *corev1.Secret) field.ErrorList {
	var p problems
	data := field.NewPath("data")
	if old != nil {
		p.add(Immutable(field.NewPath("type"), s.Type, old.Type)...)
		if isTrue(old.Immutable) {
			if !isTrue(s.Immutable) {
				p.forbidden(field.NewPath("immutable"), whenImmutable)
			}
			if !sameMap(s.Data, old.Data) {
				p.forbidden(data, whenImmutable)
			}
		}
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		p.invalids(data.Key(key), key, validation.IsConfigMapKey(key))
		size += len(s.Data[key])
	}
	if size > maxDataBytes {
		p.add(field.TooLong(data, "", maxDataBytes))
	}
	secretType(&p, data, s)
	return p.list()
}

// secretType checks that a secret holds what its type says.
func secretType(p *problems, data *field.Path, s *corev1.Secret) {
	need := func(key string) {
		if _, ok := s.Data[key]; !ok {
			p.required(data.Key(key), "")
		}
	}
	needJSON := func(key string) {
		value, ok := s.Data[key]
		if !ok {
			p.required(data.Key(key), "")
			return
		}
		var any map[string]any
		if err := json.Unmarshal(value, &any); err != nil {
			p.invalid(data.Key(key), "<secret contents redacted>", err.Error())
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		p.need(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), s.Annotations[corev1.ServiceAccountNameKey])
	case corev1.SecretTypeDockercfg:
		needJSON(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		needJSON(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			need(corev1.BasicAuthUsernameKey)
			need(corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			p.required(data.Key(corev1.SSHAuthPrivateKey), "")
		}
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey)
		need(corev1.TLSPrivateKeyKey)
	}
}
