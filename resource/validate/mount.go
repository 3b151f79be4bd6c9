package validate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func volumeMounts(p *problems, at *field.Path, c *corev1.Container, volumes map[string]*corev1.VolumeSource) {
	points := sets.New[string]()
	for i := range c.VolumeMounts {
		m, path := &c.VolumeMounts[i], at.Index(i)
		p.need(path.Child("name"), m.Name)
		if volumes[m.Name] == nil {
			p.add(field.NotFound(path.Child("name"), m.Name))
		}
		p.need(path.Child("mountPath"), m.MountPath)
		if points.Has(m.MountPath) {
			p.invalid(path.Child("mountPath"), m.MountPath, "must be unique")
		}
		points.Insert(m.MountPath)
		if slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == m.Name }) {
			p.invalid(path.Child("name"), m.Name, "must not already exist in volumeDevices")
		}
		if slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.DevicePath == m.MountPath }) {
			p.invalid(path.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices")
		}
		mountOptions(p, at, path, c, m)
	}
}

// mountOptions checks the finer points. The API reports some of them at the
// list, not at the mount.
func mountOptions(p *problems, list, path *field.Path, c *corev1.Container, m *corev1.VolumeMount) {
	if m.SubPath != "" {
		descendingPath(p, list.Child("subPath"), m.SubPath)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			p.invalid(path.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive")
		}
		descendingPath(p, list.Child("subPathExpr"), m.SubPathExpr)
	}
	if mode := m.MountPropagation; mode != nil {
		at := list.Child("mountPropagation")
		supportedOnly(p, at, *mode, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
		privileged := c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
		if *mode == corev1.MountPropagationBidirectional && !privileged {
			p.forbidden(at, "Bidirectional mount propagation is available only to privileged containers")
		}
	}
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return
	}
	at := list.Child("recursiveReadOnly")
	before := len(*p)
	supportedOnly(p, at, *m.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled)
	if len(*p) > before {
		return
	}
	if !m.ReadOnly {
		p.forbidden(at, "may only be specified when readOnly is true")
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		p.forbidden(at, "may only be specified when mountPropagation is None or not specified")
	}
}

func volumeDevices(p *problems, at *field.Path, c *corev1.Container, volumes map[string]*corev1.VolumeSource) {
	names, paths := sets.New[string](), sets.New[string]()
	for i, d := range c.VolumeDevices {
		path := at.Index(i)
		p.need(path.Child("name"), d.Name)
		if names.Has(d.Name) {
			p.invalid(path.Child("name"), d.Name, "must be unique")
		}
		if d.Name != "" {
			names.Insert(d.Name)
		}
		switch v := volumes[d.Name]; {
		case v == nil:
			p.add(field.NotFound(path.Child("name"), d.Name))
		case v.PersistentVolumeClaim == nil && v.Ephemeral == nil:
			p.invalid(path.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode")
		}
		p.need(path.Child("devicePath"), d.DevicePath)
		if paths.Has(d.DevicePath) {
			p.invalid(path.Child("devicePath"), d.DevicePath, "must be unique")
		}
		var steps problems
		if noBacksteps(&steps, path, d.DevicePath); len(steps) > 0 {
			p.invalid(path.Child("devicePath"), d.DevicePath, "can not contain backsteps ('..')")
		} else {
			paths.Insert(d.DevicePath)
		}
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == d.Name }) {
			p.invalid(path.Child("name"), d.Name, "must not already exist in volumeMounts")
		}
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == d.DevicePath }) {
			p.invalid(path.Child("devicePath"), d.DevicePath, "must not already exist as a path in volumeMounts")
		}
	}
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }
