package apply

import (
	"bytes"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// maxKnown bounds how many different sets of fields are remembered. A cluster has
// a few for each kind and program.
const maxKnown = 2048

// known remembers sets by the bytes that they are recorded as: most objects of a
// kind are written by the same programs, and so have the same few. All who get a
// set or record share it, and must not change it.
type known struct {
	mu   sync.RWMutex
	sets map[string]*fieldpath.Set
	// records are those that were shared last.
	records map[string]*metav1.FieldsV1
}

// set returns the set of a record; false where it cannot be read.
func (k *known) set(record *metav1.FieldsV1) (*fieldpath.Set, bool) {
	raw := record.GetRawBytes()
	k.mu.RLock()
	set := k.sets[string(raw)]
	k.mu.RUnlock()
	if set != nil {
		return set, true
	}
	set = fieldpath.NewSet()
	if err := set.FromJSON(bytes.NewReader(raw)); err != nil {
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sets == nil || len(k.sets) >= maxKnown {
		k.sets = map[string]*fieldpath.Set{}
	}
	k.sets[string(raw)] = set
	return set, true
}

// share makes an object's records those of other objects with the same fields,
// so that they are in memory once. Nobody else may have the object yet.
func (k *known) share(entries []metav1.ManagedFieldsEntry) {
	for i := range entries {
		record := entries[i].FieldsV1
		if record == nil {
			continue
		}
		raw := record.GetRawBytes()
		k.mu.RLock()
		same := k.records[string(raw)]
		k.mu.RUnlock()
		if same == nil {
			same = record
			k.mu.Lock()
			if k.records == nil || len(k.records) >= maxKnown {
				k.records = map[string]*metav1.FieldsV1{}
			}
			k.records[string(raw)] = record
			k.mu.Unlock()
		}
		entries[i].FieldsV1 = same
	}
}
