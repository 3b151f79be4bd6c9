// Package flowschema says of each flow schema whether the priority level that it
// names is there (KEP-1040).
package flowschema

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller keeps the condition Dangling of flow schemas. Upstream's API server
// does that itself.
func Controller() controller.Controller {
	return controller.Controller{
		Name:   "flowschema",
		For:    resource.FlowSchemas.Info,
		Reads:  []controller.Input{{Kind: resource.PriorityLevelConfigurations.Info, Keys: naming}},
		Writes: []controller.Output{{Kind: resource.FlowSchemas.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}}},

		Reconcile: reconcile,
	}
}

// naming returns the schemas that name a priority level.
func naming(v *view.View, level resource.Object) []view.Key {
	var keys []view.Key
	for schema := range view.List(v, resource.FlowSchemas, "") {
		if schema.Spec.PriorityLevelConfiguration.Name == level.GetName() {
			keys = append(keys, view.KeyOf(schema))
		}
	}
	return keys
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	schema, ok := view.Get(v, resource.FlowSchemas, "", key.Name)
	if !ok {
		return controller.Plan{}
	}
	level := schema.Spec.PriorityLevelConfiguration.Name
	_, found := view.Get(v, resource.PriorityLevelConfigurations, "", level)
	want := dangling(level, found)
	next := schema.DeepCopy()
	at := slices.IndexFunc(next.Status.Conditions, func(c flowcontrolv1.FlowSchemaCondition) bool { return c.Type == want.Type })
	if at < 0 {
		at = len(next.Status.Conditions)
		next.Status.Conditions = append(next.Status.Conditions, flowcontrolv1.FlowSchemaCondition{})
	}
	have := next.Status.Conditions[at]
	have.LastTransitionTime = metav1.Time{}
	if have == want {
		return controller.Plan{}
	}
	want.LastTransitionTime = metav1.NewTime(now)
	next.Status.Conditions[at] = want
	op := client.UpdateStatus(resource.FlowSchemas, next)
	op.Cause = "the priority level of flow schema " + schema.Name + " came or went"
	return controller.Plan{Do: []client.Op{op}}
}

func dangling(level string, found bool) flowcontrolv1.FlowSchemaCondition {
	c := flowcontrolv1.FlowSchemaCondition{
		Type: flowcontrolv1.FlowSchemaConditionDangling, Status: flowcontrolv1.ConditionFalse, Reason: "Found",
		Message: fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q and it exists", level),
	}
	if !found {
		c.Status, c.Reason = flowcontrolv1.ConditionTrue, "NotFound"
		c.Message = fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q but there is no such object", level)
	}
	return c
}
