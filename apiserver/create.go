package apiserver

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/view"
)

func (s *Server) serveCreate(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	obj, err := c.readObject(r)
	if err != nil {
		return err
	}
	created, err := s.create(c, obj)
	if err != nil {
		return err
	}
	return s.writeResult(w, c, f, http.StatusCreated, created)
}

// create stores obj, which it takes over, as a new object.
func (s *Server) create(c *call, obj resource.Object) (resource.Object, error) {
	if err := c.takePlace(obj); err != nil {
		return nil, err
	}
	c.defaultNew(obj)
	s.owners.Update(c.write(), c.info.New(), obj)
	result, err := s.prepareCreate(c, obj)
	if err != nil {
		return nil, err
	}
	defer result.release()
	if c.dryRun && s.View().Entry(c.info, view.KeyOf(obj)) != nil {
		return nil, s.alreadyExists(c, obj)
	}
	if v, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64); err == nil && v != 0 && !c.dryRun {
		return nil, plainError("resourceVersion should not be set on objects to be created")
	}
	if err := s.store(c, obj, nil); err != nil {
		var conflict *store.ConflictError
		if errors.As(err, &conflict) {
			return nil, s.alreadyExists(c, obj)
		}
		return nil, s.storeError(c, err)
	}
	return obj, nil
}

// defaultNew clears what only the system sets, and fills in what was left out.
func (c *call) defaultNew(obj resource.Object) {
	wipeSystemFields(metaOf(obj))
	c.dropDoubleOwners(obj, false)
	if c.info.CopyStatus != nil && !c.info.NewStatus {
		c.info.CopyStatus(obj, c.info.New())
	}
	if c.info.Default != nil {
		c.info.Default(obj)
	}
}

func wipeSystemFields(meta *metav1.ObjectMeta) {
	meta.UID, meta.CreationTimestamp, meta.SelfLink = "", metav1.Time{}, ""
	meta.DeletionTimestamp, meta.DeletionGracePeriodSeconds = nil, nil
}

// prepareCreate admits and validates a new object, defaults and managed fields
// set. What it has reserved is free again after the change's release.
func (s *Server) prepareCreate(c *call, obj resource.Object) (change, error) {
	a := c.attributes(admissionv1.Create, obj, nil)
	if err := s.admitChange(c, a); err != nil {
		return change{}, err
	}
	if err := s.confirmGrant(c, obj, nil); err != nil {
		return change{}, err
	}
	c.dropDoubleOwners(obj, true)
	meta := metaOf(obj)
	if meta.Name == "" && meta.GenerateName != "" {
		meta.Name = s.freeName(c, meta)
	}
	a.Name = meta.Name
	meta.UID = s.random.uid()
	meta.CreationTimestamp = metav1.NewTime(c.now.Truncate(1e9))
	if c.info.HasGeneration {
		meta.Generation = 1
	}
	release, err := s.allocate(c, obj, nil)
	if err != nil {
		return change{}, err
	}
	if c.info.Prepare != nil {
		c.info.Prepare(c.request(resource.Create), obj, nil)
	}
	if err := c.validate(resource.Create, obj, nil); err != nil {
		release()
		return change{}, err
	}
	if err := s.admission.Validate(c.ctx, a); err != nil {
		release()
		return change{}, err
	}
	return change{obj: obj, release: func() { a.Release(); release() }}, nil
}

func (s *Server) alreadyExists(c *call, obj resource.Object) error {
	err := apierrors.NewAlreadyExists(c.version.GR(), obj.GetName())
	if obj.GetGenerateName() != "" {
		err = apierrors.NewGenerateNameConflict(c.version.GR(), obj.GetName(), 1)
	}
	if e := s.View().Entry(c.info, view.KeyOf(obj)); e != nil && e.Object.GetDeletionTimestamp() != nil {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

// takePlace makes the object's namespace that of the request, and refuses one
// that says another.
func (c *call) takePlace(obj resource.Object) error {
	want := c.target.namespace
	if !c.info.Namespaced {
		want = ""
	}
	if have := obj.GetNamespace(); have != "" && want != "" && have != want {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if c.info.Namespaced && want == "" {
		return apierrors.NewBadRequest("an empty namespace may not be set during creation")
	}
	obj.SetNamespace(want)
	return nil
}

const doubleOwners = "; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "

// dropDoubleOwners removes owner references that are there twice, with a
// warning.
func (c *call) dropDoubleOwners(obj resource.Object, admitted bool) {
	refs := obj.GetOwnerReferences()
	if len(refs) < 2 {
		return
	}
	var kept []metav1.OwnerReference
	var double []string
	for _, ref := range refs {
		if slices.ContainsFunc(kept, func(k metav1.OwnerReference) bool { return apiequality.Semantic.DeepEqual(k, ref) }) {
			double = append(double, string(ref.UID))
		} else {
			kept = append(kept, ref)
		}
	}
	if len(double) == 0 {
		return
	}
	when := ""
	if admitted {
		when = " after mutating admission happens"
	}
	c.warn(".metadata.ownerReferences contains duplicate entries" + when + doubleOwners + strings.Join(double, ", "))
	obj.SetOwnerReferences(kept)
}

// Names made from generateName: as long as upstream's, so that names derived
// from them fit, and tried as often.
const (
	maxGeneratedBase = 58
	generatedSuffix  = 5
	maxNameTries     = 8
)

func (s *Server) generateName(base string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	return base + s.random.suffix()
}

// freeName generates a name that is not taken, if a few tries find one.
func (s *Server) freeName(c *call, meta *metav1.ObjectMeta) string {
	var name string
	for range maxNameTries {
		name = s.generateName(meta.GenerateName)
		if s.View().Entry(c.info, view.Key{Namespace: meta.Namespace, Name: name}) == nil {
			break
		}
	}
	return name
}
