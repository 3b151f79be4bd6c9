package resource

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// FlowSchemas is the kind FlowSchema.
var FlowSchemas = Define(Kind[*flowcontrolv1.FlowSchema]{
	Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "FlowSchema", Resource: "flowschemas",
	Recheck: AsNew,
	Default: func(s *flowcontrolv1.FlowSchema) {
		const precedence = 1000
		setIfEmpty(&s.Spec.MatchingPrecedence, precedence)
	},
	Prepare: func(req Request, s, old *flowcontrolv1.FlowSchema) {
		switch {
		case old == nil:
			s.Status = flowcontrolv1.FlowSchemaStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&s.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(req Request, s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
		if req.Subresource == "status" {
			return validate.FlowSchemaStatus(s)
		}
		return validate.FlowSchema(s, requiredSchema(s.Name))
	},
	Spec:   func(s *flowcontrolv1.FlowSchema) any { return &s.Spec },
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *flowcontrolv1.FlowSchema) { to.Status = from.Status },
	Columns: []Column[*flowcontrolv1.FlowSchema]{
		nameColumn[*flowcontrolv1.FlowSchema](),
		column("PriorityLevel", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"],
			func(s *flowcontrolv1.FlowSchema) any { return s.Spec.PriorityLevelConfiguration.Name }),
		column("MatchingPrecedence", flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()["matchingPrecedence"],
			func(s *flowcontrolv1.FlowSchema) any { return int64(s.Spec.MatchingPrecedence) }),
		column("DistinguisherMethod", flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()["distinguisherMethod"], func(s *flowcontrolv1.FlowSchema) any {
			if s.Spec.DistinguisherMethod == nil {
				return "<none>"
			}
			return string(s.Spec.DistinguisherMethod.Type)
		}),
		ageColumn[*flowcontrolv1.FlowSchema](),
		column("MissingPL", "references a broken or non-existent PriorityLevelConfiguration", func(s *flowcontrolv1.FlowSchema) any {
			for _, c := range s.Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
					return string(c.Status)
				}
			}
			return "?"
		}),
	},
})

func requiredSchema(name string) *flowcontrolv1.FlowSchema {
	for _, s := range RequiredFlowSchemas() {
		if s.Name == name {
			return s
		}
	}
	return nil
}
