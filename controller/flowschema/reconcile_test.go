package flowschema

import (
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func TestDangling(t *testing.T) {
	for name, test := range map[string]struct {
		level  string // that is there
		before []flowcontrolv1.FlowSchemaCondition
		want   flowcontrolv1.ConditionStatus // "": no change
		others int
	}{
		"its level is there":         {"batch", nil, flowcontrolv1.ConditionFalse, 0},
		"its level is not there":     {"other", nil, flowcontrolv1.ConditionTrue, 0},
		"its level went":             {"other", []flowcontrolv1.FlowSchemaCondition{dangling("batch", true)}, flowcontrolv1.ConditionTrue, 0},
		"is content":                 {"batch", []flowcontrolv1.FlowSchemaCondition{dangling("batch", true)}, "", 0},
		"what others say stays":      {"batch", []flowcontrolv1.FlowSchemaCondition{{Type: "Mine"}}, flowcontrolv1.ConditionFalse, 1},
		"names another level by now": {"batch", []flowcontrolv1.FlowSchemaCondition{dangling("old", true)}, flowcontrolv1.ConditionFalse, 0},
	} {
		t.Run(name, func(t *testing.T) {
			schema := &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
			schema.Spec.PriorityLevelConfiguration.Name = "batch"
			schema.Status.Conditions = test.before
			level := &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: metav1.ObjectMeta{Name: test.level}}
			edit := (&view.View{}).Edit()
			edit.Put(view.NewEntry(resource.FlowSchemas.Info, schema, 1))
			edit.Put(view.NewEntry(resource.PriorityLevelConfigurations.Info, level, 2))
			v := edit.View(2)
			now := time.Unix(100, 0)
			plan := Controller().Reconcile(v, view.KeyOf(schema), now, nil)
			if test.want == "" {
				if len(plan.Do) > 0 {
					t.Fatalf("plans %v, want nothing", plan.Do)
				}
				return
			}
			if len(plan.Do) != 1 {
				t.Fatalf("plans %v, want one update", plan.Do)
			}
			conditions := plan.Do[0].Object.(*flowcontrolv1.FlowSchema).Status.Conditions
			last := conditions[len(conditions)-1]
			if len(conditions) != test.others+1 || last.Status != test.want || !last.LastTransitionTime.Time.Equal(now) {
				t.Errorf("got %+v, want %s since %v", conditions, test.want, now)
			}
			if keys := naming(v, level); (len(keys) == 1) != (test.level == "batch") {
				t.Errorf("level %s wakes %v", test.level, keys)
			}
		})
	}
}
