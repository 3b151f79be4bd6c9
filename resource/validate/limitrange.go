package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// LimitRange checks limits: names of resources, and that least, most, defaults
// and ratio agree.
func LimitRange(l *corev1.LimitRange) field.ErrorList {
	var p problems
	seen := sets.New[corev1.LimitType]()
	for i := range l.Spec.Limits {
		at := field.NewPath("spec", "limits").Index(i)
		item := &l.Spec.Limits[i]
		limitType(&p, at.Child("type"), item.Type)
		if seen.Has(item.Type) {
			p.add(field.Duplicate(at.Child("type"), item.Type))
		}
		seen.Insert(item.Type)
		limitItem(&p, at, item)
	}
	return p.list()
}

func limitType(p *problems, at *field.Path, t corev1.LimitType) {
	if messages := validation.IsQualifiedName(string(t)); len(messages) > 0 {
		p.invalids(at, t, messages)
		return
	}
	known := []corev1.LimitType{corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim}
	if !strings.Contains(string(t), "/") && !slices.Contains(known, t) {
		p.invalid(at, t, "must be a standard limit type or fully qualified")
	}
}

func limitItem(p *problems, at *field.Path, item *corev1.LimitRangeItem) {
	names := sets.New[corev1.ResourceName]()
	check := func(field string, list corev1.ResourceList) {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			names.Insert(name)
			if item.Type == corev1.LimitTypePod || item.Type == corev1.LimitTypeContainer {
				containerResourceName(p, at.Child(field).Key(string(name)), name)
			} else {
				resourceName(p, at.Child(field).Key(string(name)), name)
			}
		}
	}
	check("max", item.Max)
	check("min", item.Min)
	c := limitCheck{p: p, at: at, item: *item}
	if item.Type == corev1.LimitTypePod {
		if len(item.Default) > 0 {
			p.forbidden(at.Child("default"), "may not be specified when `type` is 'Pod'")
		}
		if len(item.DefaultRequest) > 0 {
			p.forbidden(at.Child("defaultRequest"), "may not be specified when `type` is 'Pod'")
		}
		c.item.Default, c.item.DefaultRequest = nil, nil
	} else {
		check("default", item.Default)
		check("defaultRequest", item.DefaultRequest)
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, least := item.Min[corev1.ResourceStorage]
		_, most := item.Max[corev1.ResourceStorage]
		if !least && !most {
			p.required(at.Child("limits"), "either minimum or maximum storage value is required, but neither was provided")
		}
	}
	check("maxLimitRequestRatio", item.MaxLimitRequestRatio)
	for _, name := range sets.List(names) {
		c.resource(name)
	}
}

// limitCheck compares the values of one resource.
type limitCheck struct {
	p    *problems
	at   *field.Path
	item corev1.LimitRangeItem
}

// notAbove reports low where both are set and it is greater than high. The
// problem is shown at a field, with a value of the two.
func (c *limitCheck) notAbove(name corev1.ResourceName, low, high corev1.ResourceList, at, lowWord, highWord string, showHigh bool) {
	l, haveLow := low[name]
	h, haveHigh := high[name]
	if !haveLow || !haveHigh || l.Cmp(h) <= 0 {
		return
	}
	shown := l
	if showHigh {
		shown = h
	}
	c.p.invalid(c.at.Child(at).Key(string(name)), shown, fmt.Sprintf("%s value %s is greater than %s value %s", lowWord, l.String(), highWord, h.String()))
}

func (c *limitCheck) resource(name corev1.ResourceName) {
	i := &c.item
	c.notAbove(name, i.Min, i.Max, "min", "min", "max", false)
	c.notAbove(name, i.Min, i.DefaultRequest, "defaultRequest", "min", "default request", true)
	c.notAbove(name, i.DefaultRequest, i.Max, "defaultRequest", "default request", "max", false)
	c.notAbove(name, i.DefaultRequest, i.Default, "defaultRequest", "default request", "default limit", false)
	c.notAbove(name, i.Min, i.Default, "default", "min", "default", false)
	c.notAbove(name, i.Default, i.Max, "default", "default", "max", true)
	c.ratio(name)
	limit, haveLimit := i.Default[name]
	request, haveRequest := i.DefaultRequest[name]
	if (!native(name) || isHugePages(name)) && haveLimit && haveRequest && limit.Cmp(request) != 0 {
		c.p.invalid(c.at.Child("defaultRequest").Key(string(name)), request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name))
	}
}

func (c *limitCheck) ratio(name corev1.ResourceName) {
	ratio, ok := c.item.MaxLimitRequestRatio[name]
	if !ok {
		return
	}
	at := c.at.Child("maxLimitRequestRatio").Key(string(name))
	if ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		c.p.invalid(at, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String()))
	}
	least, haveLeast := c.item.Min[name]
	most, haveMost := c.item.Max[name]
	if !haveLeast || !haveMost {
		return
	}
	value, low, high := float64(ratio.Value()), least.Value(), most.Value()
	if ratio.Value() < resource.MaxMilliValue && low < resource.MaxMilliValue && high < resource.MaxMilliValue {
		value, low, high = float64(ratio.MilliValue())/1000, least.MilliValue(), most.MilliValue()
	}
	if bound := float64(high) / float64(low); value > bound {
		c.p.invalid(at, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), bound))
	}
}
