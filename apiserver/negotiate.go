package apiserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/resource"
)

// Media types of the API.
const (
	typeJSON     = "application/json"
	typeYAML     = "application/yaml"
	typeProtobuf = "application/vnd.kubernetes.protobuf"
)

// format is the form in which a client wants an answer.
type format struct {
	media string
	// as is "Table", "PartialObjectMetadata", "PartialObjectMetadataList" or "".
	as string
}

// negotiate chooses the first form of the Accept header that the server has.
func negotiate(r *http.Request) (format, error) { return negotiateForm(r, true) }

// negotiatePlain is negotiate for what has no form but its own: reviews, and
// the bodies of subresources.
func negotiatePlain(r *http.Request) (format, error) { return negotiateForm(r, false) }

func negotiateForm(r *http.Request, others bool) (format, error) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return format{media: typeJSON}, nil
	}
	for _, c := range clauses(accept) {
		f := format{media: c.media, as: c.params["as"]}
		switch c.media {
		case "*/*", "application/*":
			f.media = typeJSON
		case typeJSON, typeYAML, typeProtobuf:
		default:
			continue
		}
		if stream := c.params["stream"]; stream != "" && (stream != "watch" || f.media == typeYAML) {
			continue
		}
		if f.as != "" && (!others || c.params["g"] != metav1.GroupName || c.params["v"] != "v1" || !f.converts()) {
			continue
		}
		return f, nil
	}
	return format{}, notAcceptable()
}

// converts tells whether there is such a form of an object.
func (f format) converts() bool {
	switch f.as {
	case "Table":
		return f.media != typeProtobuf
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

// clause is one of the forms that a client accepts.
type clause struct {
	media  string
	params map[string]string
	weight float64
}

// clauses reads an Accept header, the most wanted first (RFC 9110, 12.5.1).
func clauses(accept string) []clause {
	var out []clause
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		c := clause{media: media, params: params, weight: 1}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			c.weight = q
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b clause) int { return cmp.Compare(b.weight, a.weight) })
	return out
}

func notAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf("only the following media types are accepted: %s, %s, %s", typeJSON, typeYAML, typeProtobuf),
	}}
}

// notConverted refuses a form that the object does not have.
func notConverted(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable, Message: message,
	}}
}

// internalName is what upstream calls the kind's Go type in its own code, and in
// such refusals.
func (c *call) internalName() string {
	group, _, _ := strings.Cut(c.info.GVR.Group, ".")
	return cmp.Or(group, "core") + "." + c.info.GVK.Kind
}

func unsupportedMedia(have string, want ...string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s (got %q)", strings.Join(want, ", "), have),
	}}
}

// readBody returns the body and its media type; JSON if the client named none.
func readBody(r *http.Request) ([]byte, string, error) {
	media := typeJSON
	if header := r.Header.Get("Content-Type"); header != "" {
		var err error
		if media, _, err = mime.ParseMediaType(header); err != nil {
			return nil, "", unsupportedMedia(header, typeJSON, typeYAML, typeProtobuf)
		}
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", err
	}
	return data, media, nil
}

// readObject reads an object of the call's kind from a request's body, and
// returns it in the stored version.
func (c *call) readObject(r *http.Request) (resource.Object, error) {
	data, media, err := readBody(r)
	if err != nil {
		return nil, err
	}
	obj := c.version.New()
	if err := c.decodeBody(data, media, c.version.GVK, obj); err != nil {
		return nil, err
	}
	return c.version.From(obj), nil
}

// decodeBody reads obj from a request's body. Unknown and duplicate fields are
// an error or a warning, as the call's field validation says.
func (c *call) decodeBody(data []byte, media string, want schema.GroupVersionKind, obj runtime.Object) error {
	switch media {
	case typeProtobuf:
		return decodeProtobuf(data, want, obj)
	case typeYAML:
		converted, err := yaml.YAMLToJSON(data)
		if err != nil {
			return unrecognized(want, data, err)
		}
		if c.fieldValidation == metav1.FieldValidationIgnore {
			return c.decodeJSON(converted, data, want, obj)
		}
		var problems []error
		if _, err := yaml.YAMLToJSONStrict(data); err != nil { // keys that are there twice
			problems = append(problems, err)
		}
		return c.decodeJSON(converted, data, want, obj, problems...)
	case typeJSON:
		return c.decodeJSON(data, data, want, obj)
	}
	return unsupportedMedia(media, typeJSON, typeYAML, typeProtobuf)
}

// decodeJSON reads obj from JSON, made from the text of a body, whose problems
// are those.
func (c *call) decodeJSON(data, text []byte, want schema.GroupVersionKind, obj runtime.Object, problems ...error) error {
	var strict []error
	var err error
	if c.fieldValidation == metav1.FieldValidationIgnore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, obj)
	} else {
		strict, err = kjson.UnmarshalStrict(data, obj)
	}
	if err != nil {
		return undecodable(want, data, text, err)
	}
	if err := takeType(obj, text, want); err != nil {
		return err
	}
	problems = append(problems, strict...)
	if len(problems) > 0 && c.fieldValidation == metav1.FieldValidationStrict {
		return unreadable(want, runtime.NewStrictDecodingError(problems))
	}
	for _, p := range problems {
		c.warn(yamlWarnings(p)...)
	}
	return nil
}

func decodeProtobuf(data []byte, want schema.GroupVersionKind, obj runtime.Object) error {
	unknown, err := resource.OpenEnvelope(data)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	m, ok := obj.(interface{ Unmarshal([]byte) error })
	if !ok {
		return unsupportedMedia(typeProtobuf, typeJSON, typeYAML)
	}
	if err := m.Unmarshal(unknown.Raw); err != nil {
		return unreadable(want, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(unknown.APIVersion, unknown.Kind))
	return takeType(obj, data, want)
}

// withType puts kind and apiVersion in front of the JSON of an object that has
// neither.
func withType(gvk schema.GroupVersionKind, object []byte) []byte {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	out := make([]byte, 0, len(object)+len(apiVersion)+len(kind)+32)
	out = append(out, `{"kind":"`...)
	out = append(out, kind...)
	out = append(out, `","apiVersion":"`...)
	out = append(out, apiVersion...)
	out = append(out, '"')
	if !bytes.Equal(object, []byte("{}")) {
		out = append(out, ',')
	}
	return append(out, object[1:]...)
}

// write answers with an object of any kind in the wanted form.
func write(w http.ResponseWriter, f format, code int, gvk schema.GroupVersionKind, obj runtime.Object) error {
	if f.media == typeProtobuf {
		if raw, err := resource.MarshalProtobuf(obj); err == nil {
			data, err := resource.Envelope(gvk, raw)
			if err != nil {
				return err
			}
			writeBytes(w, typeProtobuf, code, data)
			return nil
		}
		f.media = typeJSON // kinds of meta/v1 such as Table have no protobuf form
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encode %s: %w", gvk.Kind, err)
	}
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		data = withType(gvk, data)
	}
	return writeJSON(w, f, code, data)
}

// writeJSON answers with JSON bytes, as YAML if that is wanted.
func writeJSON(w http.ResponseWriter, f format, code int, data []byte) error {
	if f.media == typeYAML {
		converted, err := yaml.JSONToYAML(data)
		if err != nil {
			return fmt.Errorf("encode YAML: %w", err)
		}
		writeBytes(w, typeYAML, code, converted)
		return nil
	}
	writeBytes(w, typeJSON, code, data)
	return nil
}

func writeBytes(w http.ResponseWriter, media string, code int, data []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	// A client that is gone is no concern of the server's.
	_, _ = w.Write(data)
}

// writeError answers with a Status.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err).ErrStatus
	f, ferr := negotiate(r)
	if ferr != nil || f.as != "" { // a refusal has no other form
		f = format{media: typeJSON}
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(status.Details.RetryAfterSeconds))
	}
	status.TypeMeta = metav1.TypeMeta{}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "Status"}
	if err := write(w, format{media: f.media}, int(status.Code), gvk, &status); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
