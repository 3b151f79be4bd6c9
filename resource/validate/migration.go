package validate

import (
	"fmt"
	"strings"

	storagemigrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StorageVersionMigration checks a migration, whose spec stays the same.
func StorageVersionMigration(m, old *storagemigrationv1.StorageVersionMigration) field.ErrorList {
	var p problems
	at, resource := field.NewPath("spec", "resource"), m.Spec.Resource
	if resource.Resource == "" {
		p.required(at.Child("resource"), "resource is required to be set")
	} else if messages := validation.IsDNS1035Label(resource.Resource); len(messages) > 0 {
		p.invalid(at.Child("resource"), resource.Resource, strings.Join(messages, ","))
	}
	if resource.Group != "" {
		if messages := validation.IsDNS1123Subdomain(resource.Group); len(messages) > 0 {
			p.invalid(at.Child("group"), resource.Group, strings.Join(messages, ","))
		}
	}
	if old != nil {
		p.add(Immutable(field.NewPath("spec"), m.Spec, old.Spec)...)
	}
	return p.list()
}

// StorageVersionMigrationStatus checks how far a migration is. It ends once, in
// success or in failure.
func StorageVersionMigrationStatus(m, old *storagemigrationv1.StorageVersionMigration) field.ErrorList {
	var p problems
	version, conditions := field.NewPath("status", "resourceVersion"), field.NewPath("status", "conditions")
	now, was := &m.Status, &old.Status
	if now.ResourceVersion != "" {
		if same, err := resourceversion.CompareResourceVersion(now.ResourceVersion, now.ResourceVersion); err != nil {
			p.invalid(version, now.ResourceVersion, err.Error())
		} else if same != 0 {
			p.invalid(version, now.ResourceVersion, fmt.Sprintf("unable to compare resource versions, %s is not equal to %s", now.ResourceVersion, now.ResourceVersion))
		}
	}
	p.add(metavalidation.ValidateConditions(now.Conditions, conditions)...)
	if was.ResourceVersion != "" && was.ResourceVersion != now.ResourceVersion {
		p.invalid(version, now.ResourceVersion, "field is immutable")
	}
	has := func(s *storagemigrationv1.StorageVersionMigrationStatus, kind storagemigrationv1.MigrationConditionType) bool {
		return meta.IsStatusConditionTrue(s.Conditions, string(kind))
	}
	succeeded, failed := has(now, storagemigrationv1.MigrationSucceeded), has(now, storagemigrationv1.MigrationFailed)
	if succeeded && failed {
		p.invalid(conditions, now.Conditions, "Both success and failed conditions cannot be true at the same time")
	}
	if has(was, storagemigrationv1.MigrationSucceeded) && !succeeded {
		p.invalid(conditions, now.Conditions, "Success condition cannot be set to false once it is true")
	}
	if has(was, storagemigrationv1.MigrationFailed) && !failed {
		p.invalid(conditions, now.Conditions, "Failed condition cannot be set to false once it is true")
	}
	return p.list()
}
