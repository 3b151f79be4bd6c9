package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/munnerz/goautoneg"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1beta1/validation"
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
	// as is "Table", "PartialObjectMetadata", "PartialObjectMetadataList" or "",
	// in this version of meta.k8s.io.
	as, version string
	// include is how much of the objects a Table carries with it.
	include metav1.IncludeObjectPolicy
	pretty  bool
	suffix  string // of the content type
}

// kind is the kind of meta.k8s.io that the client wants.
func (f format) kind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: f.version, Kind: kind}
}

// mediaTypes are the forms of an object, the first being for who does not care;
// streamTypes those of a watch, and listTypes those of a list, which may be
// watched too.
var (
	mediaTypes  = []string{typeJSON, typeYAML, typeProtobuf}
	streamTypes = []string{typeJSON + ";stream=watch", typeProtobuf + ";stream=watch"}
	listTypes   = slices.Concat(mediaTypes, streamTypes)
)

// choose returns the form that a client likes best of those that there are.
// allows says which of them may become another kind.
func choose(r *http.Request, have []string, allows func(media string, as *schema.GroupVersionKind) bool) (format, bool) {
	f := format{media: have[0], pretty: wantsPretty(r)}
	accept := r.Header.Get("Accept")
	if accept == "" {
		return f, true
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		for _, media := range have {
			kind, sub, _ := strings.Cut(media, "/")
			if clause.Type != kind && clause.Type != "*" || clause.SubType != sub && clause.SubType != "*" {
				continue
			}
			f.media = media
			if f.take(clause.Params, allows) {
				return f, true
			}
		}
	}
	return f, false
}

// take reads the parameters of a media type, and tells whether they can be
// satisfied.
func (f *format) take(params map[string]string, allows func(string, *schema.GroupVersionKind) bool) bool {
	var as *schema.GroupVersionKind
	if params["as"] != "" || params["g"] != "" || params["v"] != "" {
		as = &schema.GroupVersionKind{Group: params["g"], Version: params["v"], Kind: params["as"]}
	}
	if stream := params["stream"]; stream != "" && (stream != "watch" || f.media == typeYAML) {
		return false
	}
	if version := params["sv"]; version != "" && version != "v1" {
		return false
	}
	if !allows(f.media, as) {
		return false
	}
	if as != nil {
		f.as, f.version = as.Kind, as.Version
	}
	f.pretty = f.pretty || params["pretty"] == "1"
	return true
}

// wantsPretty tells whether JSON is to be indented: if the client says so, or is
// one through which people look at it.
func wantsPretty(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if text := r.URL.Query().Get("pretty"); text != "" {
			pretty, _ := strconv.ParseBool(text)
			return pretty
		}
	}
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// convertible tells whether objects can be had as another kind: as the rows of
// a table, which has no protobuf form, or their metadata alone.
func convertible(media string, as *schema.GroupVersionKind) bool {
	if as == nil {
		return true
	}
	if as.Group != metav1.GroupName || as.Version != "v1" && as.Version != "v1beta1" {
		return false
	}
	switch as.Kind {
	case "Table":
		return media != typeProtobuf
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

// asIs refuses other kinds.
func asIs(_ string, as *schema.GroupVersionKind) bool { return as == nil }

// negotiate chooses the form of an object or a list.
func negotiate(r *http.Request) (format, error) {
	f, ok := choose(r, mediaTypes, convertible)
	if !ok {
		return f, notAcceptable(mediaTypes...)
	}
	if f.as != "Table" {
		return f, nil
	}
	options := metav1.TableOptions{IncludeObject: metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject"))}
	if errs := metavalidation.ValidateTableOptions(&options); len(errs) > 0 {
		return f, apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: %v", errs[0]))
	}
	f.include = options.IncludeObject
	return f, nil
}

// negotiatePlain is negotiate for what has no form but its own: reviews, and
// the bodies of subresources.
func negotiatePlain(r *http.Request) (format, error) {
	f, ok := choose(r, mediaTypes, asIs)
	if !ok {
		return f, notAcceptable(mediaTypes...)
	}
	return f, nil
}

// notAcceptable refuses an Accept header where there is only so much.
func notAcceptable(have ...string) error {
	return notConverted("only the following media types are accepted: " + strings.Join(have, ", "))
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
	if group == "" || group == "events" {
		group = "core"
	}
	return group + "." + c.info.GVK.Kind
}

func unsupportedMedia(want ...string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(want, ", "),
	}}
}

// mediaOf is the media type that a request says its body has; JSON if it says
// nothing.
func mediaOf(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return typeJSON, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		return "", unsupportedMedia(mediaTypes...)
	}
	return media, nil
}

// readBody returns the body and its media type.
func readBody(r *http.Request) ([]byte, string, error) {
	media, err := mediaOf(r)
	if err != nil {
		return nil, "", err
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
	return unsupportedMedia(mediaTypes...)
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
		return unsupportedMedia(typeJSON, typeYAML)
	}
	if err := m.Unmarshal(unknown.Raw); err != nil {
		return unreadable(want, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(unknown.APIVersion, unknown.Kind))
	return takeType(obj, data, want)
}

// write answers with an object of any kind in the wanted form.
func write(w http.ResponseWriter, f format, code int, gvk schema.GroupVersionKind, obj runtime.Object) error {
	if f.media == typeProtobuf {
		raw, err := resource.MarshalProtobuf(obj)
		if err != nil {
			return err
		}
		data, err := resource.Envelope(gvk, raw)
		if err != nil {
			return err
		}
		writeBytes(w, typeProtobuf+f.suffix, code, data)
		return nil
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
	switch {
	case f.media == typeYAML:
		converted, err := yaml.JSONToYAML(data)
		if err != nil {
			return fmt.Errorf("encode YAML: %w", err)
		}
		data = converted
	case f.pretty:
		indented, err := indent(data)
		if err != nil {
			return err
		}
		data = append(indented, '\n')
	default:
		data = append(data, '\n')
	}
	writeBytes(w, f.media+f.suffix, code, data)
	return nil
}

func indent(data []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return nil, fmt.Errorf("indent JSON: %w", err)
	}
	return out.Bytes(), nil
}

func writeBytes(w http.ResponseWriter, media string, code int, data []byte) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(code)
	// A client that is gone is no concern of the server's.
	_, _ = w.Write(data)
}

var statusKind = schema.GroupVersionKind{Version: "v1", Kind: "Status"}

// writeError answers with a Status: as the client wants it, or for people to
// read where it wants what there is not.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err).ErrStatus
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(status.Details.RetryAfterSeconds))
	}
	status.TypeMeta = metav1.TypeMeta{}
	f, ok := choose(r, mediaTypes, asIs)
	if ok {
		err = write(w, f, int(status.Code), statusKind, &status)
	} else {
		err = writeRaw(w, int(status.Code), withTypeOf(statusKind, &status))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// writeRaw answers with indented JSON, whatever the client wants.
func writeRaw(w http.ResponseWriter, code int, document any) error {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %T: %w", document, err)
	}
	writeBytes(w, typeJSON, code, data)
	return nil
}

func withTypeOf(gvk schema.GroupVersionKind, status *metav1.Status) *metav1.Status {
	typed := *status
	typed.SetGroupVersionKind(gvk)
	return &typed
}

func withType(gvk schema.GroupVersionKind, object []byte) []byte {
	return resource.WithType(gvk, object)
}
