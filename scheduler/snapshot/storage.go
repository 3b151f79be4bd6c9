package snapshot

import (
	"iter"
	"maps"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/skiff-sh/skiff/view"
)

// Storage is the volumes of the cluster and what can make more. A pod that was
// placed may have taken a volume, or said where one is to be made, before the
// view shows that: such claims and volumes stand in for those of the view.
type Storage struct {
	claims      map[view.Key]*corev1.PersistentVolumeClaim
	volumes     map[string]*corev1.PersistentVolume
	byClass     map[string]map[string]*corev1.PersistentVolume // by storage class and name
	classes     map[string]*storagev1.StorageClass
	csiNodes    map[string]*storagev1.CSINode
	drivers     map[string]*storagev1.CSIDriver
	capacities  map[view.Key]*storagev1.CSIStorageCapacity
	attachments map[string]map[string]*storagev1.VolumeAttachment // by node and name

	assumedClaims  map[view.Key]*corev1.PersistentVolumeClaim
	assumedVolumes map[string]*corev1.PersistentVolume
	users          map[view.Key]int // how many placed pods use a claim
}

func newStorage() Storage {
	return Storage{
		claims:         map[view.Key]*corev1.PersistentVolumeClaim{},
		volumes:        map[string]*corev1.PersistentVolume{},
		byClass:        map[string]map[string]*corev1.PersistentVolume{},
		classes:        map[string]*storagev1.StorageClass{},
		csiNodes:       map[string]*storagev1.CSINode{},
		drivers:        map[string]*storagev1.CSIDriver{},
		capacities:     map[view.Key]*storagev1.CSIStorageCapacity{},
		attachments:    map[string]map[string]*storagev1.VolumeAttachment{},
		assumedClaims:  map[view.Key]*corev1.PersistentVolumeClaim{},
		assumedVolumes: map[string]*corev1.PersistentVolume{},
		users:          map[view.Key]int{},
	}
}

// Set takes over an object of storage, and returns what it may make possible.
// Objects of other kinds are left alone.
func (s *Storage) Set(obj any) Event {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		s.claims[view.KeyOf(o)] = o
		delete(s.assumedClaims, view.KeyOf(o))
		return ClaimChanged
	case *corev1.PersistentVolume:
		s.setVolume(o)
		return VolumeChanged
	case *storagev1.StorageClass:
		s.classes[o.Name] = o
		return ClassChanged
	case *storagev1.CSINode:
		s.csiNodes[o.Name] = o
	case *storagev1.CSIDriver:
		s.drivers[o.Name] = o
	case *storagev1.CSIStorageCapacity:
		s.capacities[view.KeyOf(o)] = o
	case *storagev1.VolumeAttachment:
		s.setAttachment(o)
	default:
		return 0
	}
	return StorageChanged
}

func (s *Storage) setVolume(v *corev1.PersistentVolume) {
	s.dropVolume(v.Name)
	delete(s.assumedVolumes, v.Name)
	s.volumes[v.Name] = v
	in := s.byClass[v.Spec.StorageClassName]
	if in == nil {
		in = map[string]*corev1.PersistentVolume{}
		s.byClass[v.Spec.StorageClassName] = in
	}
	in[v.Name] = v
}

func (s *Storage) dropVolume(name string) {
	if old := s.volumes[name]; old != nil {
		delete(s.volumes, name)
		delete(s.byClass[old.Spec.StorageClassName], name)
	}
}

func (s *Storage) setAttachment(a *storagev1.VolumeAttachment) {
	on := s.attachments[a.Spec.NodeName]
	if on == nil {
		on = map[string]*storagev1.VolumeAttachment{}
		s.attachments[a.Spec.NodeName] = on
	}
	on[a.Name] = a
}

// Remove forgets an object of storage, and returns what that may make possible.
func (s *Storage) Remove(obj any) Event {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		delete(s.claims, view.KeyOf(o))
		delete(s.assumedClaims, view.KeyOf(o))
	case *corev1.PersistentVolume:
		s.dropVolume(o.Name)
		delete(s.assumedVolumes, o.Name)
	case *storagev1.StorageClass:
		delete(s.classes, o.Name)
	case *storagev1.CSINode:
		delete(s.csiNodes, o.Name)
	case *storagev1.CSIDriver:
		delete(s.drivers, o.Name)
	case *storagev1.CSIStorageCapacity:
		delete(s.capacities, view.KeyOf(o))
	case *storagev1.VolumeAttachment:
		delete(s.attachments[o.Spec.NodeName], o.Name)
		return StorageChanged
	}
	return 0
}

// Claim returns a persistent volume claim, or nil.
func (s *Storage) Claim(key view.Key) *corev1.PersistentVolumeClaim {
	if c := s.assumedClaims[key]; c != nil {
		return c
	}
	return s.claims[key]
}

// Volume returns a persistent volume, or nil.
func (s *Storage) Volume(name string) *corev1.PersistentVolume {
	if v := s.assumedVolumes[name]; v != nil {
		return v
	}
	return s.volumes[name]
}

// VolumesOf yields the persistent volumes of a class in no particular order.
func (s *Storage) VolumesOf(class string) iter.Seq[*corev1.PersistentVolume] {
	return func(yield func(*corev1.PersistentVolume) bool) {
		for name := range s.byClass[class] {
			if !yield(s.Volume(name)) {
				return
			}
		}
	}
}

// Class returns a storage class, or nil.
func (s *Storage) Class(name string) *storagev1.StorageClass { return s.classes[name] }

// Node returns what the storage drivers say of a node, or nil.
func (s *Storage) Node(name string) *storagev1.CSINode { return s.csiNodes[name] }

// Driver returns a storage driver, or nil.
func (s *Storage) Driver(name string) *storagev1.CSIDriver { return s.drivers[name] }

// Capacities yields what drivers say of the room that they have.
func (s *Storage) Capacities() iter.Seq[*storagev1.CSIStorageCapacity] {
	return maps.Values(s.capacities)
}

// Attachments yields the attachments to a node.
func (s *Storage) Attachments(node string) iter.Seq[*storagev1.VolumeAttachment] {
	return maps.Values(s.attachments[node])
}

// Used tells whether a placed pod uses the claim.
func (s *Storage) Used(key view.Key) bool { return s.users[key] > 0 }

func (s *Storage) use(p *Pod, sign int) {
	for _, c := range p.Claims {
		key := view.Key{Namespace: p.Key.Namespace, Name: c.Name}
		if s.users[key] += sign; s.users[key] == 0 {
			delete(s.users, key)
		}
	}
}

// Assume lets a claim or a volume stand in for that of the view, until the view
// shows another state or Restore ends it.
func (s *Storage) Assume(obj any) {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		s.assumedClaims[view.KeyOf(o)] = o
	case *corev1.PersistentVolume:
		s.assumedVolumes[o.Name] = o
	}
}

// Restore ends what Assume began.
func (s *Storage) Restore(obj any) {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		if s.assumedClaims[view.KeyOf(o)] == o {
			delete(s.assumedClaims, view.KeyOf(o))
		}
	case *corev1.PersistentVolume:
		if s.assumedVolumes[o.Name] == o {
			delete(s.assumedVolumes, o.Name)
		}
	}
}
