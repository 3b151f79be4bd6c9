// Package webhook asks admission webhooks about requests: which of them a
// request concerns, what they are sent, and what their answers mean.
//
// Configurations are compiled when they change, not when a request comes: a
// cluster without any pays nothing.
package webhook

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Config is what calling webhooks stands on.
type Config struct {
	// Resolve returns host and port behind a port of a service.
	Resolve func(namespace, name string, port int32) (string, error)
	// Dial connects to webhooks; nil for the network as it is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Allowed decides what a user may do, for conditions that ask.
	Allowed matching.Allowed
}

// Webhooks calls the webhooks that the objects of a view describe.
type Webhooks struct {
	mutating, validating list
}

// New returns the caller of webhooks.
func New(c Config) *Webhooks {
	return &Webhooks{
		mutating:   list{config: c, info: resource.MutatingWebhookConfigurations.Info, read: mutatingOf},
		validating: list{config: c, info: resource.ValidatingWebhookConfigurations.Info, read: validatingOf},
	}
}

// concerned says whether webhooks are asked about a request at all: not about
// configurations of admission, which would lock out whoever mends them, and not
// about reviews.
func concerned(a *admission.Attributes) bool {
	if a.Kind.Group == admissionregistrationv1.GroupName && slices.Contains(exempt, a.Kind.Kind) {
		return false
	}
	return !resource.Review(a.Resource.Group, a.Resource.Resource)
}

var exempt = []string{
	"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
}

func mutatingOf(obj resource.Object) []admissionregistrationv1.MutatingWebhook {
	return obj.(*admissionregistrationv1.MutatingWebhookConfiguration).Webhooks
}

func validatingOf(obj resource.Object) []admissionregistrationv1.MutatingWebhook {
	var all []admissionregistrationv1.MutatingWebhook
	for i := range obj.(*admissionregistrationv1.ValidatingWebhookConfiguration).Webhooks {
		all = append(all, resource.MutatingWebhook(&obj.(*admissionregistrationv1.ValidatingWebhookConfiguration).Webhooks[i]))
	}
	return all
}

// list is the compiled webhooks of one kind of configuration.
type list struct {
	config Config
	info   *resource.Info
	read   func(resource.Object) []admissionregistrationv1.MutatingWebhook

	current atomic.Pointer[compiled]
	compile sync.Mutex
}

// compiled is the hooks of the configurations of one view, in order: by name of
// the configuration, and within it as they stand. Entries are compared to find
// out whether it holds for another view: keeping a view would keep all in it.
type compiled struct {
	entries []*view.Entry
	hooks   []*hook
}

func (c *compiled) of(v *view.View, info *resource.Info) bool {
	n := 0
	for e := range v.Entries(info, "", view.Key{}) {
		if n == len(c.entries) || c.entries[n] != e {
			return false
		}
		n++
	}
	return n == len(c.entries)
}

// in returns the hooks of a view's configurations.
func (l *list) in(v *view.View) []*hook {
	if v.Len(l.info) == 0 {
		return nil
	}
	if have := l.current.Load(); have != nil && have.of(v, l.info) {
		return have.hooks
	}
	l.compile.Lock()
	defer l.compile.Unlock()
	have := l.current.Load()
	if have == nil {
		have = &compiled{}
	} else if have.of(v, l.info) {
		return have.hooks
	}
	next := l.from(v, have)
	l.current.Store(next)
	return next.hooks
}

// from compiles what have does not have already. Connections to webhooks that
// stay where they are go on.
func (l *list) from(v *view.View, have *compiled) *compiled {
	known, clients := map[*view.Entry][]*hook{}, map[endpoint]*client{}
	for _, h := range have.hooks {
		known[h.entry] = append(known[h.entry], h)
		clients[h.client.endpoint] = h.client
	}
	next := &compiled{}
	for e := range v.Entries(l.info, "", view.Key{}) {
		next.entries = append(next.entries, e)
		if same, ok := known[e]; ok {
			next.hooks = append(next.hooks, same...)
			continue
		}
		webhooks := l.read(e.Object)
		for i := range webhooks {
			at := endpointOf(&webhooks[i].ClientConfig)
			if clients[at] == nil {
				clients[at] = &client{endpoint: at, config: l.config}
			}
			next.hooks = append(next.hooks, newHook(e, i, &webhooks[i], clients[at], l.config.Allowed))
		}
	}
	return next
}
