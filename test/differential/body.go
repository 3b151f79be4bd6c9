package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// decodeJSON keeps numbers as they are written.
func decodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return v, nil
}

// decodeBody returns a body as values, whatever its format.
func decodeBody(r request, a answer) any {
	body := a.body
	if a.header.Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			if body, err = io.ReadAll(z); err != nil {
				return "broken gzip: " + err.Error()
			}
		}
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	v, err := decodeMedia(media, body)
	if err != nil {
		return string(body)
	}
	return v
}

func decodeMedia(media string, body []byte) (any, error) {
	switch media {
	case "application/json":
		if v, err := decodeJSON(body); err == nil {
			return v, nil
		}
		return decodeLines(body) // of a watch
	case "application/yaml":
		data, err := yaml.YAMLToJSON(body)
		if err != nil {
			return nil, err
		}
		return decodeJSON(data)
	case "application/vnd.kubernetes.protobuf":
		if !bytes.HasPrefix(body, []byte("k8s\x00")) {
			return decodeFrames(body)
		}
		return decodeProtobuf(body)
	}
	return nil, errors.New("no format of objects")
}

// decodeLines reads a watch in JSON.
func decodeLines(body []byte) (any, error) {
	var out []any
	for line := range bytes.Lines(body) {
		v, err := decodeJSON(line)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// decodeFrames reads a watch in protobuf.
func decodeFrames(body []byte) (any, error) {
	out := []any{}
	for len(body) > 4 {
		n := int(binary.BigEndian.Uint32(body))
		if n > len(body)-4 {
			return nil, errors.New("a frame is cut off")
		}
		var event metav1.WatchEvent
		if err := event.Unmarshal(body[4 : 4+n]); err != nil {
			return nil, err
		}
		object, err := decodeProtobuf(event.Object.Raw)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]any{"type": event.Type, "object": object})
		body = body[4+n:]
	}
	return out, nil
}

var protobufSerializer = protobuf.NewSerializer(protobufScheme(), scheme.Scheme)

// protobufScheme knows what the clients' scheme does, and metadata alone.
func protobufScheme() *runtime.Scheme {
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), metav1.AddMetaToScheme(known)); err != nil {
		panic(err) // two lists in the client's library contradict each other
	}
	return known
}

// decodeProtobuf returns the fields of a document as in JSON, together with
// what its envelope says.
func decodeProtobuf(body []byte) (any, error) {
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(bytes.TrimPrefix(body, []byte("k8s\x00"))); err != nil {
		return nil, err
	}
	object, _, err := protobufSerializer.Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	v, err := decodeJSON(data)
	if err != nil {
		return nil, err
	}
	fields := v.(map[string]any)
	fields["envelope"] = fmt.Sprintf("%s %s %q %q", unknown.APIVersion, unknown.Kind, unknown.ContentEncoding, unknown.ContentType)
	return fields, nil
}

// op is one operation of an edit.
type op struct {
	Op    string `json:"op"` // set or remove
	Path  []any  `json:"path"`
	Value any    `json:"value,omitempty"`
}

// applyOps edits a value. What is missing on the way is made; what is of
// another type on the way stops the operation.
func applyOps(v any, text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var ops []op
	if err := d.Decode(&ops); err != nil {
		return nil, fmt.Errorf("read edit %s: %w", text, err)
	}
	for _, o := range ops {
		v = o.apply(v, o.Path)
	}
	return v, nil
}

func (o op) apply(v any, path []any) any {
	if len(path) == 0 {
		return o.Value
	}
	last := len(path) == 1
	switch key := path[0].(type) {
	case string:
		object, ok := v.(map[string]any)
		if !ok {
			if v != nil {
				return v
			}
			object = map[string]any{}
		}
		if last && o.Op == "remove" {
			delete(object, key)
			return object
		}
		object[key] = o.apply(object[key], path[1:])
		return object
	default:
		i, err := strconv.Atoi(fmt.Sprint(key))
		list, ok := v.([]any)
		if err != nil || !ok && v != nil {
			return v
		}
		if i >= len(list) {
			if o.Op == "remove" {
				return v
			}
			return append(list, o.apply(nil, path[1:]))
		}
		if last && o.Op == "remove" {
			return slices.Delete(list, i, i+1)
		}
		list[i] = o.apply(list[i], path[1:])
		return list
	}
}
