package resource_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
)

// metaMaker makes metadata at random, with texts that JSON has to escape.
type metaMaker struct{ *rand.Rand }

func (r metaMaker) maybe() bool { return r.IntN(3) == 0 }

func (r metaMaker) text() string {
	return []string{"", "a", "web-0", "a b", `"`, `\`, "<a>", "&", "é", "\u2028", "\x00", "\x7f", "\xff", "~ !"}[r.IntN(14)]
}

func (r metaMaker) texts() map[string]string {
	out := map[string]string{}
	for range r.IntN(4) * r.IntN(10) {
		out[r.text()+r.text()] = r.text()
	}
	return out
}

func (r metaMaker) time() *metav1.Time {
	if r.maybe() {
		return nil
	}
	if r.maybe() {
		return &metav1.Time{}
	}
	return &metav1.Time{Time: time.Unix(r.Int64N(4e9), r.Int64N(1e9)).In(time.FixedZone("east", 3600))}
}

func (r metaMaker) truth() *bool {
	if r.maybe() {
		return nil
	}
	yes := r.IntN(2) == 0
	return &yes
}

func (r metaMaker) meta() *metav1.ObjectMeta {
	m := &metav1.ObjectMeta{
		Name: r.text(), GenerateName: r.text(), Namespace: r.text(), SelfLink: r.text(), UID: types.UID(r.text()), ResourceVersion: r.text(),
		Generation: r.Int64N(3) - 1, DeletionTimestamp: r.time(), Labels: r.texts(), Annotations: r.texts(),
	}
	if at := r.time(); at != nil {
		m.CreationTimestamp = *at
	}
	if r.maybe() {
		seconds := r.Int64N(40)
		m.DeletionGracePeriodSeconds = &seconds
	}
	for range r.IntN(3) {
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{
			APIVersion: r.text(), Kind: r.text(), Name: r.text(), UID: types.UID(r.text()), Controller: r.truth(), BlockOwnerDeletion: r.truth()})
		m.Finalizers = append(m.Finalizers, r.text())
		e := metav1.ManagedFieldsEntry{Manager: r.text(), Operation: metav1.ManagedFieldsOperationType(r.text()), APIVersion: r.text(), Time: r.time(), FieldsType: r.text(), Subresource: r.text()}
		if !r.maybe() {
			e.FieldsV1 = &metav1.FieldsV1{}
		}
		if e.FieldsV1 != nil && !r.maybe() {
			e.FieldsV1.SetRawString([]string{`{"f:data":{}}`, ` { "f:<a>" : {} }`, `{"k:{\"a\":\"é\"}":{}}`}[r.IntN(3)])
		}
		m.ManagedFields = append(m.ManagedFields, e)
	}
	return m
}

// TestAppendMeta: whatever the metadata, the bytes are those of encoding/json.
func TestAppendMeta(t *testing.T) {
	r := metaMaker{rand.New(rand.NewPCG(1, 2))}
	for range 20000 {
		m := r.meta()
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := resource.AppendMeta(nil, m); string(got) != string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}
