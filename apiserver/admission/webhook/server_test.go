package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// review is what a webhook is asked, as far as the tests look at it.
type review struct {
	APIVersion string
	Request    struct {
		UID, Name, Namespace, Operation, SubResource string
		Kind, Resource, RequestKind, RequestResource map[string]string
		UserInfo                                     struct{ Username string }
		Object, OldObject, Options                   map[string]any
		DryRun                                       bool
	}
	path, timeout string
}

// hook is a webhook on a server of its own. It answers what answer says, as JSON
// of an AdmissionResponse without its uid, and remembers what it was asked.
type hook struct {
	server *httptest.Server
	answer func(r *review) string

	mutex sync.Mutex
	asked []*review
}

func allow(*review) string { return `"allowed":true` }

// patches returns an answer with a JSON patch.
func patches(patch string) func(*review) string {
	return func(*review) string {
		return `"allowed":true,"patchType":"JSONPatch","patch":"` + base64.StdEncoding.EncodeToString([]byte(patch)) + `"`
	}
}

func newHook(t *testing.T, answer func(r *review) string) *hook {
	t.Helper()
	h := &hook{answer: answer}
	h.server = httptest.NewTLSServer(h)
	t.Cleanup(h.server.Close)
	return h
}

// ServeHTTP implements http.Handler.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in review
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	in.path, in.timeout = r.URL.Path, r.URL.Query().Get("timeout")
	h.mutex.Lock()
	h.asked = append(h.asked, &in)
	h.mutex.Unlock()
	answer := h.answer(&in)
	if answer == "" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"apiVersion":%q,"kind":"AdmissionReview","response":{"uid":%q,%s}}`, in.APIVersion, in.Request.UID, answer)
}

// take returns what the hook was asked since the last take.
func (h *hook) take() []*review {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// authority is the certificate of the hook's server, in base64 of PEM.
func (h *hook) authority() string {
	block := &pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(block))
}

// rule matches what tests of one kind do most.
func rule(resource string) string {
	return `"rules":[{"apiGroups":["*"],"apiVersions":["*"],"operations":["*"],"resources":["` + resource + `"]}]`
}

// webhook is one entry of a configuration; more is added to it.
func (h *hook) webhook(name, more string) string {
	return fmt.Sprintf(`{"name":%q,"admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"url":%q,"caBundle":%q},%s}`,
		name, h.server.URL+"/ask", h.authority(), more)
}

// configure adds a configuration: kind is Mutating or Validating.
func configure(t *testing.T, c *apiservertest.Cluster, kind, name string, webhooks ...string) {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"%sWebhookConfiguration","metadata":{"name":%q},"webhooks":[%s]}`,
		kind, name, strings.Join(webhooks, ","))
	want(t, c.Do("POST", "/apis/admissionregistration.k8s.io/v1/"+strings.ToLower(kind)+"webhookconfigurations", body), 201)
}

// want checks the code of an answer, and that it contains the texts.
func want(t *testing.T, a apiservertest.Answer, code int, texts ...string) {
	t.Helper()
	if a.Code != code {
		t.Fatalf("code %d, want %d: %s", a.Code, code, a.Body)
	}
	body := strings.ReplaceAll(string(a.Body), `\"`, `"`)
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%q is not in %s", text, body)
		}
	}
}

const maps = "/api/v1/namespaces/default/configmaps"

func mapNamed(name, more string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"` + more + `}}`
}
