package apiserver

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
)

func (s *Server) serveCreate(w http.ResponseWriter, r *http.Request, c *call) error {
	obj, err := c.readObject(r)
	if err != nil {
		return err
	}
	created, err := s.create(c, obj)
	if err != nil {
		return err
	}
	return c.writeObject(w, r, http.StatusCreated, created)
}

// create defaults, admits, validates and stores obj, which it takes over.
func (s *Server) create(c *call, obj resource.Object) (resource.Object, error) {
	if err := c.takePlace(obj); err != nil {
		return nil, err
	}
	meta := metaOf(obj)
	if meta.ResourceVersion != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	meta.UID = types.UID(uuid.NewString())
	meta.CreationTimestamp = metav1.NewTime(c.now.Truncate(1e9))
	meta.DeletionTimestamp, meta.DeletionGracePeriodSeconds = nil, nil
	meta.SelfLink, meta.Generation = "", 0
	if c.info.HasGeneration {
		meta.Generation = 1
	}
	if c.info.CopyStatus != nil {
		c.info.CopyStatus(obj, c.info.New())
	}
	if c.info.Default != nil {
		c.info.Default(obj)
	}
	attributes := c.attributes(admissionv1.Create, obj, nil)
	if err := s.admission.Mutate(c.ctx, attributes); err != nil {
		return nil, err
	}
	if meta.Name == "" && meta.GenerateName != "" {
		meta.Name = generateName(meta.GenerateName)
	}
	if err := s.confirmGrant(c, obj, nil); err != nil {
		return nil, err
	}
	release, err := s.allocate(c, obj, nil)
	if err != nil {
		return nil, err
	}
	defer release()
	if c.info.Prepare != nil {
		c.info.Prepare(c.request(resource.Create), obj, nil)
	}
	if err := c.validate(resource.Create, obj, nil); err != nil {
		return nil, err
	}
	if err := s.admission.Validate(c.ctx, attributes); err != nil {
		return nil, err
	}
	if err := s.store(c, obj, 0); err != nil {
		var conflict *store.ConflictError
		if errors.As(err, &conflict) {
			return nil, c.alreadyExists(meta)
		}
		return nil, s.storeError(c, err)
	}
	return obj, nil
}

func (c *call) alreadyExists(meta *metav1.ObjectMeta) error {
	err := apierrors.NewAlreadyExists(c.info.GR(), meta.Name)
	if meta.GenerateName != "" {
		return apierrors.NewGenerateNameConflict(c.info.GR(), meta.Name, 1)
	}
	return err
}

// takePlace makes the object's namespace that of the request, and refuses one
// that says another.
func (c *call) takePlace(obj resource.Object) error {
	if !c.info.Namespaced {
		if obj.GetNamespace() != "" && c.info.GVR.Resource != "namespaces" {
			return apierrors.NewBadRequest("namespace may not be set for this resource: it is cluster-scoped")
		}
		obj.SetNamespace("")
		return nil
	}
	if c.target.namespace == "" {
		return apierrors.NewBadRequest("an empty namespace may not be set during creation")
	}
	if obj.GetNamespace() != "" && obj.GetNamespace() != c.target.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	obj.SetNamespace(c.target.namespace)
	return nil
}

// Names made from generateName: as long as upstream's, so that names derived
// from them fit.
const (
	maxGeneratedBase = 58
	generatedSuffix  = 5
)

func generateName(base string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	return base + rand.String(generatedSuffix)
}
