package validate

import (
	"fmt"
	"math"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// keepsZeroShares is an annotation with which v1beta3 said what v1 has a field
// for.
const keepsZeroShares = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"

// PriorityLevel checks a level. One that every cluster has to have, required,
// has a fixed spec, but for what the exempt level may lend.
func PriorityLevel(l, required *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	var p problems
	if hasAnnotation(&l.ObjectMeta, keepsZeroShares) {
		p.forbidden(field.NewPath("metadata", "annotations"), fmt.Sprintf("annotation '%s' is forbidden", keepsZeroShares))
	}
	at := field.NewPath("spec")
	priorityLevelSpec(&p, at, &l.Spec, l.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt)
	if required != nil {
		requiredSpec(&p, at, l, &required.Spec)
	}
	p.add(PriorityLevelStatus(l)...)
	return p.list()
}

func requiredSpec(p *problems, at *field.Path, l *flowcontrolv1.PriorityLevelConfiguration, want *flowcontrolv1.PriorityLevelConfigurationSpec) {
	have, but := l.Spec.DeepCopy(), ""
	if l.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt {
		have.Exempt, but = want.Exempt, " except the 'spec.exempt' field"
	}
	if !equality.Semantic.DeepEqual(have, want) {
		p.invalid(at, l.Spec, fmt.Sprintf("spec of '%s'%s must equal the fixed value", l.Name, but))
	}
}

// PriorityLevelStatus checks that there is one condition of each type.
func PriorityLevelStatus(l *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	var types []string
	for _, c := range l.Status.Conditions {
		types = append(types, string(c.Type))
	}
	return uniqueTypes(types)
}

func priorityLevelSpec(p *problems, at *field.Path, s *flowcontrolv1.PriorityLevelConfigurationSpec, isExempt bool) {
	levelUnion(p, at, s)
	if isExempt != (s.Type == flowcontrolv1.PriorityLevelEnablementExempt) {
		p.invalid(at.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'")
	}
	switch s.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if s.Exempt != nil {
			shares(p, at.Child("exempt"), s.Exempt.NominalConcurrencyShares)
			lendable(p, at.Child("exempt"), s.Exempt.LendablePercent)
		}
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if s.Limited != nil {
			limitedLevel(p, at.Child("limited"), s.Limited)
		}
	case "":
		p.declared(field.Required(at.Child("type"), ""))
	default:
		supportedOnly(p, at.Child("type"), s.Type, flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited)
	}
}

// levelUnion declares that a level has the part that its type names, and no other.
func levelUnion(p *problems, at *field.Path, s *flowcontrolv1.PriorityLevelConfigurationSpec) {
	if s.Exempt != nil && s.Type != flowcontrolv1.PriorityLevelEnablementExempt {
		p.declared(field.Forbidden(at.Child("exempt"), ""))
	}
	switch limited := s.Type == flowcontrolv1.PriorityLevelEnablementLimited; {
	case limited && s.Limited == nil:
		p.declared(field.Required(at.Child("limited"), ""))
	case !limited && s.Limited != nil:
		p.declared(field.Forbidden(at.Child("limited"), ""))
	}
}

func shares(p *problems, at *field.Path, n *int32) {
	if n != nil && *n < 0 {
		p.invalid(at.Child("nominalConcurrencyShares"), *n, "must be a non-negative integer")
	}
}

func lendable(p *problems, at *field.Path, percent *int32) {
	if percent != nil && (*percent < 0 || *percent > 100) {
		p.invalid(at.Child("lendablePercent"), *percent, "must be between 0 and 100, inclusive")
	}
}

func limitedLevel(p *problems, at *field.Path, l *flowcontrolv1.LimitedPriorityLevelConfiguration) {
	shares(p, at, l.NominalConcurrencyShares)
	response, queuing := at.Child("limitResponse"), at.Child("limitResponse", "queuing")
	r := &l.LimitResponse
	switch queue := r.Type == flowcontrolv1.LimitResponseTypeQueue; {
	case queue && r.Queuing == nil:
		p.declared(field.Required(queuing, ""))
	case !queue && r.Queuing != nil:
		p.declared(field.Forbidden(queuing, ""))
	}
	switch r.Type {
	case flowcontrolv1.LimitResponseTypeReject:
	case flowcontrolv1.LimitResponseTypeQueue:
		if r.Queuing != nil {
			queues(p, queuing, r.Queuing)
		}
	case "":
		p.declared(field.Required(response.Child("type"), ""))
	default:
		supportedOnly(p, response.Child("type"), r.Type, flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)
	}
	lendable(p, at, l.LendablePercent)
	if limit := l.BorrowingLimitPercent; limit != nil && *limit < 0 {
		p.invalid(at.Child("borrowingLimitPercent"), *limit, "if specified, must be a non-negative integer")
	}
}

// Dealing hands out of many queues takes random bits, of which a hash has 60.
const (
	mostQueues = 10_000_000
	hashBits   = 60
)

func queues(p *problems, at *field.Path, q *flowcontrolv1.QueuingConfiguration) {
	if q.QueueLengthLimit <= 0 {
		p.invalid(at.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive")
	}
	switch {
	case q.Queues <= 0:
		p.invalid(at.Child("queues"), q.Queues, "must be positive")
	case q.Queues > mostQueues:
		p.invalid(at.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", mostQueues))
	}
	switch hand := at.Child("handSize"); {
	case q.HandSize <= 0:
		p.invalid(hand, q.HandSize, "must be positive")
	case q.HandSize > q.Queues:
		p.invalid(hand, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues))
	case dealBits(q.Queues, q.HandSize) > hashBits:
		p.invalid(hand, q.HandSize, fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d", q.Queues, q.HandSize, hashBits))
	}
}

// dealBits is how many random bits it takes to deal a hand.
func dealBits(deck, hand int32) int {
	return int(math.Ceil(math.Log2(float64(deck)) * float64(hand)))
}
