package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// kind is a resource that both servers serve, as discovery tells.
type kind struct {
	group, version, name string // name is the resource's
	gvk                  string
	namespaced           bool
	verbs                []string
	subresources         []string
	seed                 map[string]any // a small valid object
	schema               *schema
}

// title is the kind's row in the table.
func (k *kind) title() string {
	title := k.name
	if k.group != "" {
		title += "." + k.group
	}
	if k.group == "autoscaling" {
		title += "/" + k.version
	}
	return title
}

func (k *kind) apiVersion() string { return strings.TrimPrefix(k.group+"/"+k.version, "/") }

func (k *kind) can(verb string) bool { return slices.Contains(k.verbs, verb) }

func (k *kind) has(subresource string) bool { return slices.Contains(k.subresources, subresource) }

// base is the path of the collection, in a namespace where there are any.
func (k *kind) base(namespace string) string {
	path := "/apis/" + k.apiVersion()
	if k.group == "" {
		path = "/api/" + k.version
	}
	if k.namespaced {
		path += "/namespaces/" + namespace
	}
	return path + "/" + k.name
}

//go:embed objects/*.yaml
var objects embed.FS

// seedOf reads a kind's object.
func seedOf(k *kind) (map[string]any, error) {
	text, err := objects.ReadFile("objects/" + k.title() + ".yaml")
	if err != nil {
		text, err = objects.ReadFile("objects/" + strings.ReplaceAll(k.title(), "/", "-") + ".yaml")
	}
	if err != nil {
		return nil, err
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("read objects/%s.yaml: %w", k.title(), err)
	}
	v, err := decodeJSON(data)
	if err != nil {
		return nil, err
	}
	object := v.(map[string]any)
	object["apiVersion"], object["kind"] = k.apiVersion(), k.gvk
	return object, nil
}

// resources are what a server serves, by group and version.
func (s *server) resources(ctx context.Context) (map[string]*metav1.APIResourceList, error) {
	paths := []string{"/api/v1"}
	var groups metav1.APIGroupList
	if err := s.fetch(ctx, "/apis", &groups); err != nil {
		return nil, err
	}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			paths = append(paths, "/apis/"+v.GroupVersion)
		}
	}
	out := map[string]*metav1.APIResourceList{}
	for _, path := range paths {
		list := &metav1.APIResourceList{}
		if err := s.fetch(ctx, path, list); err != nil {
			return nil, err
		}
		out[list.GroupVersion] = list
	}
	return out, nil
}

func (s *server) fetch(ctx context.Context, path string, into any) error {
	a := s.do(ctx, request{method: http.MethodGet, path: path})
	if a.err != nil {
		return fmt.Errorf("get %s: %w", path, a.err)
	}
	if a.code != http.StatusOK {
		return fmt.Errorf("get %s: %d %s", path, a.code, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// discover returns the kinds that both servers serve and the resources that
// only upstream serves.
func (p *pair) discover(ctx context.Context) (kinds []*kind, missing []string, err error) {
	upstream, err := p.upstream.resources(ctx)
	if err != nil {
		return nil, nil, err
	}
	skiff, err := p.skiff.resources(ctx)
	if err != nil {
		return nil, nil, err
	}
	schemas := map[string]*schemas{}
	for gv, list := range upstream {
		for _, r := range list.APIResources {
			if !serves(skiff[gv], r.Name) {
				missing = append(missing, strings.TrimPrefix(r.Name+"."+gv, "."))
				continue
			}
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "get") || !slices.Contains(r.Verbs, "create") {
				continue
			}
			k := newKind(gv, r, list)
			if k.seed, err = seedOf(k); err != nil {
				return nil, nil, fmt.Errorf("%s has no object to begin with: %w", k.title(), err)
			}
			if k.schema, err = p.schemaOf(ctx, schemas, gv, k); err != nil {
				return nil, nil, err
			}
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b *kind) int { return cmp.Compare(a.title(), b.title()) })
	slices.Sort(missing)
	return kinds, missing, nil
}

func serves(list *metav1.APIResourceList, name string) bool {
	return list != nil && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == name })
}

func newKind(gv string, r metav1.APIResource, list *metav1.APIResourceList) *kind {
	k := &kind{name: r.Name, gvk: r.Kind, namespaced: r.Namespaced, verbs: r.Verbs}
	k.group, k.version, _ = strings.Cut(gv, "/")
	if k.version == "" {
		k.group, k.version = "", gv
	}
	for _, sub := range list.APIResources {
		if name, ok := strings.CutPrefix(sub.Name, r.Name+"/"); ok {
			k.subresources = append(k.subresources, name)
		}
	}
	return k
}

// schemaOf reads the kind's schema from upstream's OpenAPI document.
func (p *pair) schemaOf(ctx context.Context, read map[string]*schemas, gv string, k *kind) (*schema, error) {
	if read[gv] == nil {
		path := "/openapi/v3/apis/" + gv
		if k.group == "" {
			path = "/openapi/v3/api/" + gv
		}
		var document struct {
			Components struct {
				Schemas map[string]*schema `json:"schemas"`
			} `json:"components"`
		}
		if err := p.upstream.fetch(ctx, path, &document); err != nil {
			return nil, err
		}
		read[gv] = &schemas{document.Components.Schemas}
	}
	s := read[gv].find(k)
	if s == nil {
		return nil, fmt.Errorf("OpenAPI has no schema of %s", k.title())
	}
	return s, nil
}
