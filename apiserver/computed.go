package apiserver

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveComputed answers for a kind of which nothing is stored: its objects are
// made up for the request.
func (s *Server) serveComputed(w http.ResponseWriter, r *http.Request, c *call) error {
	if c.verb != "get" && c.verb != "list" {
		return errMethod
	}
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	all, missing, err := s.compute(c)
	if err != nil {
		return err
	}
	entry := func(obj resource.Object) *view.Entry {
		return &view.Entry{Info: c.info, Key: view.KeyOf(obj), Object: obj, Labels: view.PackLabels(obj.GetLabels())}
	}
	if c.verb == "get" {
		for _, obj := range all {
			if obj.GetName() == c.target.name && obj.GetNamespace() == c.target.namespace {
				return c.writeEntry(w, f, http.StatusOK, entry(obj))
			}
		}
		return missing
	}
	opts, err := c.listOptions(r.URL.Query(), false)
	if err != nil {
		return err
	}
	var entries []*view.Entry
	for _, obj := range all {
		if e := entry(obj); opts.sel.matches(e) {
			entries = append(entries, e)
		}
	}
	return c.writeList(w, f, metav1.ListMeta{}, slices.Values(entries))
}

// compute makes the objects of a kind, by namespace and name, and the answer for
// one that is not among them.
func (s *Server) compute(c *call) (all []resource.Object, missing, err error) {
	switch c.info {
	case resource.NodeMetrics.Info:
		all, err = s.nodeMetrics(c)
		return all, apierrors.NewNotFound(schema.GroupResource{Group: c.info.GVK.Group, Resource: "nodemetrics"}, c.target.name), err
	case resource.PodMetrics.Info:
		all, err = s.podMetrics(c)
		return all, s.noPodMetrics(c), err
	}
	return s.components(c.ctx), apierrors.NewNotFound(schema.GroupResource{Resource: "componentstatus"}, c.target.name), nil
}
