package resource

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ValidatingWebhookConfigurations is the kind ValidatingWebhookConfiguration.
var ValidatingWebhookConfigurations = Define(Kind[*admissionregistrationv1.ValidatingWebhookConfiguration]{
	Group: admissionregistrationv1.GroupName, Version: "v1", Kind: "ValidatingWebhookConfiguration", Resource: "validatingwebhookconfigurations",
	Categories: []string{"api-extensions"},
	Recheck:    AsNew, AnyFinalizer: true,
	Default: func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
		for i := range c.Webhooks {
			whole := MutatingWebhook(&c.Webhooks[i])
			defaultWebhook(&whole)
			c.Webhooks[i] = validatingWebhook(&whole)
		}
	},
	Validate: func(_ Request, c, old *admissionregistrationv1.ValidatingWebhookConfiguration) field.ErrorList {
		return validateWebhooks(c, old, validatingWebhooks)
	},
	Warn: func(c, old *admissionregistrationv1.ValidatingWebhookConfiguration) []string {
		return warnWebhooks(c.Name, validatingWebhooks(c), old != nil)
	},
	Spec:    func(c *admissionregistrationv1.ValidatingWebhookConfiguration) any { return c.Webhooks },
	Columns: webhookColumns(validatingWebhooks),
})

// MutatingWebhookConfigurations is the kind MutatingWebhookConfiguration.
var MutatingWebhookConfigurations = Define(Kind[*admissionregistrationv1.MutatingWebhookConfiguration]{
	Group: admissionregistrationv1.GroupName, Version: "v1", Kind: "MutatingWebhookConfiguration", Resource: "mutatingwebhookconfigurations",
	Categories: []string{"api-extensions"},
	Recheck:    AsNew, AnyFinalizer: true,
	Default: func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
		for i := range c.Webhooks {
			defaultWebhook(&c.Webhooks[i])
			setIfNil(&c.Webhooks[i].ReinvocationPolicy, admissionregistrationv1.NeverReinvocationPolicy)
		}
	},
	Validate: func(_ Request, c, old *admissionregistrationv1.MutatingWebhookConfiguration) field.ErrorList {
		return validateWebhooks(c, old, mutatingWebhooks)
	},
	Warn: func(c, old *admissionregistrationv1.MutatingWebhookConfiguration) []string {
		return warnWebhooks(c.Name, c.Webhooks, old != nil)
	},
	Spec:    func(c *admissionregistrationv1.MutatingWebhookConfiguration) any { return c.Webhooks },
	Columns: webhookColumns(mutatingWebhooks),
})

func mutatingWebhooks(c *admissionregistrationv1.MutatingWebhookConfiguration) []admissionregistrationv1.MutatingWebhook {
	return c.Webhooks
}

func validatingWebhooks(c *admissionregistrationv1.ValidatingWebhookConfiguration) []admissionregistrationv1.MutatingWebhook {
	all := make([]admissionregistrationv1.MutatingWebhook, len(c.Webhooks))
	for i := range c.Webhooks {
		all[i] = MutatingWebhook(&c.Webhooks[i])
	}
	return all
}

// MutatingWebhook returns w as a webhook of the other sort, which has all its
// fields, so that rules for both are written once. It shares what w points at.
func MutatingWebhook(w *admissionregistrationv1.ValidatingWebhook) admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
		NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects,
		TimeoutSeconds: w.TimeoutSeconds, AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions,
	}
}

func validatingWebhook(w *admissionregistrationv1.MutatingWebhook) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
		NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects,
		TimeoutSeconds: w.TimeoutSeconds, AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions,
	}
}

// webhookTimeout is how long a webhook may take, in seconds, where its
// configuration does not say, and webhookPort where its service listens.
const (
	webhookTimeout = 10
	webhookPort    = 443
)

func defaultWebhook(w *admissionregistrationv1.MutatingWebhook) {
	setIfNil(&w.FailurePolicy, admissionregistrationv1.Fail)
	setIfNil(&w.MatchPolicy, admissionregistrationv1.Equivalent)
	setIfNil(&w.NamespaceSelector, metav1.LabelSelector{})
	setIfNil(&w.ObjectSelector, metav1.LabelSelector{})
	setIfNil(&w.TimeoutSeconds, webhookTimeout)
	if w.ClientConfig.Service != nil {
		setIfNil(&w.ClientConfig.Service.Port, webhookPort)
	}
	for i := range w.Rules {
		setIfNil(&w.Rules[i].Scope, admissionregistrationv1.AllScopes)
	}
}

func validateWebhooks[T Object](c, old T, webhooks func(T) []admissionregistrationv1.MutatingWebhook) field.ErrorList {
	if any(old) == any(*new(T)) {
		return validate.NewWebhooks(c.GetName(), webhooks(c))
	}
	return validate.ChangedWebhooks(webhooks(c), webhooks(old))
}

func webhookColumns[T Object](webhooks func(T) []admissionregistrationv1.MutatingWebhook) []Column[T] {
	return []Column[T]{
		nameColumn[T](),
		integer(column("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration",
			func(c T) any { return int64(len(webhooks(c))) })),
		ageColumn[T](),
	}
}

// Review says whether a resource is one by which access is asked about. Webhooks
// are never asked about these: a cluster could not even refuse access any more.
func Review(group, name string) bool {
	switch group + "/" + name {
	case "authentication.k8s.io/selfsubjectreviews", "authentication.k8s.io/tokenreviews",
		"authorization.k8s.io/localsubjectaccessreviews", "authorization.k8s.io/selfsubjectaccessreviews",
		"authorization.k8s.io/selfsubjectrulesreviews", "authorization.k8s.io/subjectaccessreviews":
		return true
	}
	return false
}

// warnWebhooks tells of a reserved name, which only an update may keep, and of
// rules without effect.
func warnWebhooks(name string, webhooks []admissionregistrationv1.MutatingWebhook, update bool) []string {
	var w warnings
	if update && strings.HasSuffix(name, validate.StaticSuffix) {
		w.add("metadata.name: %s", validate.StaticName)
	}
	for i := range webhooks {
		for j, rule := range webhooks[i].Rules {
			for _, gr := range reviewsOf(&rule) {
				w.add("%s: %s is excluded from admission webhooks; this rule will have no effect",
					field.NewPath("webhooks").Index(i).Child("rules").Index(j), gr)
			}
		}
	}
	return w.all
}

func reviewsOf(rule *admissionregistrationv1.RuleWithOperations) []string {
	if slices.Contains(rule.APIGroups, "*") || slices.Contains(rule.Resources, "*") {
		return nil
	}
	var all []string
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			if gr := fmt.Sprintf("%s.%s", resource, group); Review(group, resource) && !slices.Contains(all, gr) {
				all = append(all, gr)
			}
		}
	}
	return all
}
