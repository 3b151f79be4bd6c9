package resource

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PriorityLevelConfigurations is the kind PriorityLevelConfiguration.
var PriorityLevelConfigurations = Define(Kind[*flowcontrolv1.PriorityLevelConfiguration]{
	Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "PriorityLevelConfiguration", Resource: "prioritylevelconfigurations",
	Recheck: AsNew,
	Default: defaultPriorityLevel,
	Prepare: func(req Request, l, old *flowcontrolv1.PriorityLevelConfiguration) {
		switch {
		case old == nil:
			l.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&l.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(req Request, l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
		if req.Subresource == "status" {
			return validate.PriorityLevelStatus(l)
		}
		return validate.PriorityLevel(l, requiredLevel(l.Name))
	},
	Spec:   func(l *flowcontrolv1.PriorityLevelConfiguration) any { return &l.Spec },
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *flowcontrolv1.PriorityLevelConfiguration) { to.Status = from.Status },
	Columns: []Column[*flowcontrolv1.PriorityLevelConfiguration]{
		nameColumn[*flowcontrolv1.PriorityLevelConfiguration](),
		column("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"],
			func(l *flowcontrolv1.PriorityLevelConfiguration) any { return string(l.Spec.Type) }),
		column("NominalConcurrencyShares", flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()["nominalConcurrencyShares"],
			func(l *flowcontrolv1.PriorityLevelConfiguration) any {
				if l.Spec.Limited == nil {
					return "<none>"
				}
				return int64(derefOr(l.Spec.Limited.NominalConcurrencyShares, 0))
			}),
		queuingColumn("Queues", "queues", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.Queues }),
		queuingColumn("HandSize", "handSize", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.HandSize }),
		queuingColumn("QueueLengthLimit", "queueLengthLimit", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.QueueLengthLimit }),
		ageColumn[*flowcontrolv1.PriorityLevelConfiguration](),
	},
})

func queuingColumn(name, field string, get func(*flowcontrolv1.QueuingConfiguration) int32) Column[*flowcontrolv1.PriorityLevelConfiguration] {
	return column(name, flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()[field], func(l *flowcontrolv1.PriorityLevelConfiguration) any {
		if l.Spec.Limited == nil || l.Spec.Limited.LimitResponse.Queuing == nil {
			return "<none>"
		}
		return int64(get(l.Spec.Limited.LimitResponse.Queuing))
	})
}

func defaultPriorityLevel(l *flowcontrolv1.PriorityLevelConfiguration) {
	if limited := l.Spec.Limited; limited != nil {
		setIfNil(&limited.NominalConcurrencyShares, 30)
		setIfNil(&limited.LendablePercent, 0)
		if q := limited.LimitResponse.Queuing; q != nil {
			setIfEmpty(&q.HandSize, 8)
			setIfEmpty(&q.Queues, 64)
			setIfEmpty(&q.QueueLengthLimit, 50)
		}
	}
	if exempt := l.Spec.Exempt; exempt != nil {
		setIfNil(&exempt.NominalConcurrencyShares, 0)
		setIfNil(&exempt.LendablePercent, 0)
	}
}

func requiredLevel(name string) *flowcontrolv1.PriorityLevelConfiguration {
	for _, l := range RequiredPriorityLevels() {
		if l.Name == name {
			return l
		}
	}
	return nil
}
