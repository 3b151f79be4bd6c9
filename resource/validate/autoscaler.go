package validate

import (
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds on scaling, in seconds.
const (
	maxScalingPeriod = 1800
	maxStabilization = 3600
)

// Autoscaler checks an autoscaler; old is nil on create. What it refers to is
// checked again only where it changed.
func Autoscaler(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &h.Spec
	if s.MinReplicas != nil && s.MaxReplicas < *s.MinReplicas {
		p.invalid(at.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`")
	}
	version := needsGroup
	switch {
	case old != nil && old.Spec.ScaleTargetRef.APIVersion == s.ScaleTargetRef.APIVersion && old.Spec.ScaleTargetRef.Kind == s.ScaleTargetRef.Kind:
		version = anyVersion
	case s.ScaleTargetRef.Kind == "ReplicationController":
		version = goodVersion
	}
	reference(&p, at.Child("scaleTargetRef"), s.ScaleTargetRef, version)
	metrics(&p, at.Child("metrics"), s, old)
	if b := s.Behavior; b != nil {
		scalingRules(&p, at.Child("behavior", "scaleUp"), b.ScaleUp)
		scalingRules(&p, at.Child("behavior", "scaleDown"), b.ScaleDown)
	}
	count(&p, at.Child("minReplicas"), s.MinReplicas) // the API reports these two last
	switch {
	case s.MaxReplicas == 0:
		p.required(at.Child("maxReplicas"), "")
	case s.MaxReplicas < 1:
		p.add(field.Invalid(at.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to 1").WithOrigin("minimum"))
	}
	return p.list()
}

// What the apiVersion of a reference must be.
type referenceVersion int

const (
	anyVersion referenceVersion = iota
	goodVersion
	needsGroup
)

func versionError(apiVersion string, must referenceVersion) error {
	if must == anyVersion {
		return nil
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return err
	}
	if must == needsGroup && gv.Group == "" {
		return fmt.Errorf("apiVersion must specify API group")
	}
	return nil
}

func reference(p *problems, at *field.Path, ref autoscalingv2.CrossVersionObjectReference, must referenceVersion) {
	if p.need(at.Child("kind"), ref.Kind) {
		p.invalids(at.Child("kind"), ref.Kind, path.IsValidPathSegmentName(ref.Kind))
	}
	if p.need(at.Child("name"), ref.Name) {
		p.invalids(at.Child("name"), ref.Name, path.IsValidPathSegmentName(ref.Name))
	}
	if err := versionError(ref.APIVersion, must); err != nil {
		p.invalid(at.Child("apiVersion"), ref.APIVersion, err.Error())
	}
}

func metrics(p *problems, at *field.Path, s *autoscalingv2.HorizontalPodAutoscalerSpec, old *autoscalingv2.HorizontalPodAutoscaler) {
	version := goodVersion
	if old != nil && slices.ContainsFunc(old.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil && versionError(m.Object.DescribedObject.APIVersion, goodVersion) != nil
	}) {
		version = anyVersion
	}
	outside := false
	for i := range s.Metrics {
		metric(p, at.Index(i), &s.Metrics[i], version)
		outside = outside || s.Metrics[i].Type == autoscalingv2.ObjectMetricSourceType || s.Metrics[i].Type == autoscalingv2.ExternalMetricSourceType
	}
	if s.MinReplicas != nil && *s.MinReplicas == 0 && !outside {
		p.forbidden(at, "must specify at least one Object or External metric to support scaling to zero replicas")
	}
}

func scalingRules(p *problems, at *field.Path, r *autoscalingv2.HPAScalingRules) {
	if r == nil {
		return
	}
	window := at.Child("stabilizationWindowSeconds")
	if s := r.StabilizationWindowSeconds; s != nil && *s < 0 {
		p.invalid(window, s, "must be greater than or equal to zero")
	}
	if s := r.StabilizationWindowSeconds; s != nil && *s > maxStabilization {
		p.invalid(window, s, fmt.Sprintf("must be less than or equal to %v", maxStabilization))
	}
	if r.SelectPolicy != nil {
		supportedOnly(p, at.Child("selectPolicy"), *r.SelectPolicy, autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)
	}
	policies := at.Child("policies")
	if len(r.Policies) == 0 {
		p.required(policies, "must specify at least one Policy")
	}
	for i, policy := range r.Policies {
		one := policies.Index(i)
		supportedOnly(p, one.Child("type"), policy.Type, autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)
		positive(p, one.Child("value"), policy.Value)
		positive(p, one.Child("periodSeconds"), policy.PeriodSeconds)
		if policy.PeriodSeconds > maxScalingPeriod {
			p.invalid(one.Child("periodSeconds"), policy.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", maxScalingPeriod))
		}
	}
	if r.Tolerance != nil && r.Tolerance.Sign() < 0 {
		p.invalid(at.Child("tolerance"), r.Tolerance.String(), "must be greater than or equal to 0")
	}
}

// AutoscalerStatus checks what the controller reports.
func AutoscalerStatus(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &h.Status
	for i, c := range s.Conditions {
		if c.ObservedGeneration != nil {
			notNegative(&p, at.Child("conditions").Index(i).Child("observedGeneration"), *c.ObservedGeneration)
		}
	}
	notNegative(&p, at.Child("currentReplicas"), s.CurrentReplicas)
	notNegative(&p, at.Child("desiredReplicas"), s.DesiredReplicas)
	return p.list()
}
