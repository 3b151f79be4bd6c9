package resource

import (
	storagemigrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// StorageVersionMigrations is the kind StorageVersionMigration.
var StorageVersionMigrations = Define(Kind[*storagemigrationv1.StorageVersionMigration]{
	Group: "storagemigration.k8s.io", Version: "v1", Kind: "StorageVersionMigration", Resource: "storageversionmigrations",
	StoredAs:    "v1beta1",
	Recheck:     AsNewAndUpdate,
	Conditional: true,
	Prepare: func(req Request, m, old *storagemigrationv1.StorageVersionMigration) {
		switch {
		case old == nil:
			m.Status = storagemigrationv1.StorageVersionMigrationStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&m.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(req Request, m, old *storagemigrationv1.StorageVersionMigration) field.ErrorList {
		if req.Subresource == "status" {
			return validate.StorageVersionMigrationStatus(m, old)
		}
		return validate.StorageVersionMigration(m, old)
	},
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *storagemigrationv1.StorageVersionMigration) { to.Status = from.Status },
	Columns: []Column[*storagemigrationv1.StorageVersionMigration]{
		column("Name", metav1.ObjectMeta{}.SwaggerDoc()["name"], func(m *storagemigrationv1.StorageVersionMigration) any { return m.Name }),
		column("Resource", "GroupResource to migrate", func(m *storagemigrationv1.StorageVersionMigration) any { return m.Spec.Resource.String() }),
		column("Status", "Status of the migration", func(m *storagemigrationv1.StorageVersionMigration) any { return migrationState(m) }),
	},
})

func migrationState(m *storagemigrationv1.StorageVersionMigration) string {
	state := "Unknown"
	for _, c := range m.Status.Conditions {
		if c.Status != metav1.ConditionTrue {
			continue
		}
		switch storagemigrationv1.MigrationConditionType(c.Type) {
		case storagemigrationv1.MigrationRunning, storagemigrationv1.MigrationFailed, storagemigrationv1.MigrationSucceeded:
			state = c.Type
		}
	}
	return state
}
