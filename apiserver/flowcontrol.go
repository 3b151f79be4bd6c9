package apiserver

import (
	"context"
	"fmt"
	"slices"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// ensureFlowControl writes the priority levels and flow schemas that every
// cluster has. One that an administrator took over stays as it is.
func (s *Server) ensureFlowControl(ctx context.Context, c client.Client) error {
	for _, level := range slices.Concat(resource.RequiredPriorityLevels(), resource.SuggestedPriorityLevels()) {
		next := func(have *flowcontrolv1.PriorityLevelConfiguration) *flowcontrolv1.PriorityLevelConfiguration {
			if apiequality.Semantic.DeepEqual(have.Spec, level.Spec) {
				return nil
			}
			changed := have.DeepCopy()
			changed.Spec = level.Spec
			return changed
		}
		if err := ensureDefault(ctx, c, resource.PriorityLevelConfigurations, level, next); err != nil {
			return err
		}
	}
	for _, schema := range slices.Concat(resource.RequiredFlowSchemas(), resource.SuggestedFlowSchemas()) {
		next := func(have *flowcontrolv1.FlowSchema) *flowcontrolv1.FlowSchema {
			if apiequality.Semantic.DeepEqual(have.Spec, schema.Spec) {
				return nil
			}
			changed := have.DeepCopy()
			changed.Spec = schema.Spec
			return changed
		}
		if err := ensureDefault(ctx, c, resource.FlowSchemas, schema, next); err != nil {
			return err
		}
	}
	return nil
}

// ensureDefault creates obj, or writes what next makes of the one that is there,
// if anything, while its annotation asks for that.
func ensureDefault[T resource.Object](ctx context.Context, c client.Client, kind *resource.Typed[T], obj T, next func(have T) T) error {
	have, ok := view.Get(c.Cache().View(), kind, "", obj.GetName())
	if !ok {
		return ensure(ctx, c, kind, obj)
	}
	if have.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey] != "true" {
		return nil
	}
	changed := next(have)
	if any(changed) == any(*new(T)) {
		return nil
	}
	if _, err := c.Do(ctx, client.Update(kind, changed)); err != nil {
		return fmt.Errorf("update %s %s: %w", kind.Info.GVK.Kind, obj.GetName(), err)
	}
	return nil
}
