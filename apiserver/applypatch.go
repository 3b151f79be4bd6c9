package apiserver

import (
	"bytes"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// applier returns the function from what is stored to what server-side apply
// makes of it (KEP-555).
func (s *Server) applier(c *call, data []byte) (func(e *view.Entry) (resource.Object, error), error) {
	config, err := readConfig(data)
	if err != nil {
		return nil, err
	}
	return func(e *view.Entry) (resource.Object, error) {
		live := c.info.New()
		if e != nil {
			live = e.Object
		}
		patch := &unstructured.Unstructured{Object: config.take()}
		obj, err := s.owners.Apply(c.write(), live, patch, c.force != nil && *c.force)
		if err != nil {
			return nil, err
		}
		return obj, config.report(c)
	}, nil
}

// config is what a client applies.
type config struct {
	data   []byte
	object map[string]any // nil once taken
	// simple is set for JSON that reads the same as YAML and has no key twice.
	simple bool
}

// readConfig reads YAML. Most clients send JSON, which is much quicker to read.
func readConfig(data []byte) (*config, error) {
	c := &config{data: data}
	if bytes.HasPrefix(data, []byte("{")) {
		problems, err := kjson.UnmarshalStrict(data, &c.object)
		if err == nil && len(problems) == 0 && !hasFloat(c.object) {
			c.simple = true
			return c, nil
		}
	}
	if _, err := yaml.ToJSON(data); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error encoding patch: %v", err))
	}
	c.object = map[string]any{}
	if err := yaml.Unmarshal(data, &c.object); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	return c, nil
}

// hasFloat tells whether a value has a number that YAML may read otherwise.
func hasFloat(v any) bool {
	switch v := v.(type) {
	case float64:
		return true
	case []any:
		for _, item := range v {
			if hasFloat(item) {
				return true
			}
		}
	case map[string]any:
		for _, item := range v {
			if hasFloat(item) {
				return true
			}
		}
	}
	return false
}

// take returns the object, for one try.
func (c *config) take() map[string]any {
	object := c.object
	if c.object = nil; object != nil {
		return object
	}
	again, err := readConfig(c.data)
	if err != nil { // it was read before
		panic(err)
	}
	return again.object
}

// report refuses keys that are there twice, or warns of them.
func (c *config) report(call *call) error {
	if c.simple || call.fieldValidation == metav1.FieldValidationIgnore {
		return nil
	}
	err := yaml.UnmarshalStrict(c.data, &map[string]any{})
	switch {
	case err == nil:
		return nil
	case call.fieldValidation == metav1.FieldValidationStrict:
		return apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", err))
	}
	call.warn(yamlWarnings(err)...)
	return nil
}

// yamlWarnings are the lines of a YAML error, without its head.
func yamlWarnings(err error) []string {
	text := err.Error()
	for _, head := range []string{"yaml: unmarshal errors:\n", "error converting YAML to JSON: yaml: unmarshal errors:\n"} {
		if lines, ok := strings.CutPrefix(text, head); ok {
			var out []string
			for line := range strings.SplitSeq(lines, "\n") {
				out = append(out, strings.TrimSpace(line))
			}
			return out
		}
	}
	return []string{text}
}
