package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// access are the counters of who asked, and whether he may. All are made at the
// start: there are no others.
type access struct {
	users                                           map[string]prometheus.Counter
	authenticated, unauthenticated, allowed, denied prometheus.Counter
}

// knownUsers are those whom upstream tells apart from "other".
var knownUsers = []string{"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"}

func newAccess(counters func(name, help string, labels ...string) *prometheus.CounterVec) access {
	users := counters("authenticated_user_requests", "Requests of users who are who they say.", "username")
	attempts := counters("authentication_attempts", "Requests by what became of their credentials.", "result")
	verdicts := counters("authorization_attempts_total", "Requests by whether the user may make them.", "result")
	a := access{
		users:         map[string]prometheus.Counter{},
		authenticated: attempts.WithLabelValues("success"), unauthenticated: attempts.WithLabelValues("error"),
		allowed: verdicts.WithLabelValues("allowed"), denied: verdicts.WithLabelValues("no-opinion"),
	}
	for _, name := range append([]string{"email_id", "other"}, knownUsers...) {
		a.users[name] = users.WithLabelValues(name)
	}
	return a
}

// Authenticated takes in that a request is a user's. Anyone may have any name,
// so few are told apart.
func (m *Metrics) Authenticated(user string) {
	m.access.authenticated.Inc()
	counter := m.access.users[user]
	switch {
	case counter != nil:
	case strings.Contains(user, "@"):
		counter = m.access.users["email_id"]
	default:
		counter = m.access.users["other"]
	}
	counter.Inc()
}

// Unauthenticated takes in that a request's credentials are not good.
func (m *Metrics) Unauthenticated() { m.access.unauthenticated.Inc() }

// Authorized takes in whether a user may make a request.
func (m *Metrics) Authorized(allowed bool) {
	if allowed {
		m.access.allowed.Inc()
		return
	}
	m.access.denied.Inc()
}
