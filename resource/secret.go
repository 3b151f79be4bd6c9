package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Secrets is the kind Secret.
var Secrets = Define(Kind[*corev1.Secret]{
	Version: "v1", Kind: "Secret", Resource: "secrets", Namespaced: true, Sealed: true,
	Recheck:  AsUpdateAndNew,
	Warn:     warnSecret,
	Validate: func(_ Request, s, old *corev1.Secret) field.ErrorList { return validate.Secret(s, old) },
	Default:  defaultSecret,
	Columns: []Column[*corev1.Secret]{
		nameColumn[*corev1.Secret](),
		column("Type", corev1.Secret{}.SwaggerDoc()["type"], func(s *corev1.Secret) any { return string(s.Type) }),
		column("Data", corev1.Secret{}.SwaggerDoc()["data"], func(s *corev1.Secret) any { return int64(len(s.Data)) }),
		ageColumn[*corev1.Secret](),
	},
	Fields: map[string]func(*corev1.Secret) string{
		"type": func(s *corev1.Secret) string { return string(s.Type) },
	},
})

// defaultSecret moves stringData, which is only a way to write, into data.
func defaultSecret(s *corev1.Secret) {
	setIfEmpty(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}
