package apiserver

import (
	"encoding/hex"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

// unreadable refuses a body of a known kind.
func unreadable(want schema.GroupVersionKind, err error) error { return unreadableAs(want, want, err) }

func unreadableAs(have, want schema.GroupVersionKind, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", have.Kind, have.Version, want.Kind, err))
}

// summaryLength is how many bytes of a body a refusal shows.
const summaryLength = 30

// unrecognized refuses a body that does not even tell its kind, and shows how it
// begins.
func unrecognized(want schema.GroupVersionKind, text []byte, err error) error {
	start, more := text, ""
	if len(text) > summaryLength {
		start, more = text[:summaryLength], " ..."
	}
	summary := hex.EncodeToString(start) + more
	switch {
	case len(text) == 0:
		summary = "<empty>"
	case text[0] == '{':
		summary = string(start) + more
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary))
}

// undecodable is why JSON, made from a text, does not decode: upstream looks at
// its kind first.
func undecodable(want schema.GroupVersionKind, data, text []byte, err error) error {
	have, kindErr := serializer.DefaultMetaFactory.Interpret(data)
	if kindErr != nil {
		return unrecognized(want, text, kindErr)
	}
	complete(have, want)
	if typeErr := unregistered(*have, want); typeErr != nil {
		err = typeErr
	}
	return unreadableAs(*have, want, err)
}

// complete fills in what a document does not say of its type.
func complete(have *schema.GroupVersionKind, want schema.GroupVersionKind) {
	if have.Kind == "" {
		have.Kind = want.Kind
	}
	if have.Version == "" && have.Group == "" {
		have.Group, have.Version = want.Group, want.Version
	}
	if have.Version == "" && have.Group == want.Group {
		have.Version = want.Version
	}
}

// unregistered tells whether there is no such kind at all.
func unregistered(have, want schema.GroupVersionKind) error {
	if have == want || scheme.Scheme.Recognizes(have) {
		return nil
	}
	err := fmt.Sprintf("no kind %q is registered for version %q in scheme %q", have.Kind, have.GroupVersion(), upstreamScheme)
	if have.Version == runtime.APIVersionInternal {
		err = fmt.Sprintf("no kind %q is registered for the internal version of group %q in scheme %q", have.Kind, have.Group, upstreamScheme)
	}
	return fmt.Errorf("%s", err)
}

// upstreamScheme is where upstream makes its list of kinds, which it names in
// refusals.
const upstreamScheme = "pkg/runtime/scheme.go:111"

// takeType checks the document's own kind and apiVersion, where it has them,
// and clears them: in memory the Go type says them. text is the body.
func takeType(obj runtime.Object, text []byte, want schema.GroupVersionKind) error {
	said, err := typeOf(obj)
	if err != nil {
		return unrecognized(want, text, err)
	}
	have := said
	complete(&have, want)
	if err := unregistered(have, want); err != nil {
		return unreadableAs(have, want, err)
	}
	return matchType(obj, said, want)
}

// matchType refuses a kind that is another one, and clears it.
func matchType(obj runtime.Object, have, want schema.GroupVersionKind) error {
	if have.Kind != "" && have.Kind != want.Kind {
		return apierrors.NewBadRequest(fmt.Sprintf("the kind of the object (%s) does not match the kind of the request (%s)", have.Kind, want.Kind))
	}
	if gv := have.GroupVersion(); !gv.Empty() && gv != want.GroupVersion() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", gv, want.GroupVersion()))
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return nil
}

// typeOf is the type that a document says it has, complete or not.
func typeOf(obj runtime.Object) (schema.GroupVersionKind, error) {
	said, ok := obj.GetObjectKind().(*metav1.TypeMeta)
	if !ok { // no kind of the API
		return obj.GetObjectKind().GroupVersionKind(), nil
	}
	gv, err := schema.ParseGroupVersion(said.APIVersion)
	return gv.WithKind(said.Kind), err
}
