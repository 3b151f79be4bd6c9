package node

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// localVolumes is what the agent does for the built-in class of storage: it
// removes the data of volumes that are over, and says so on its Node, upon which
// the controller lets the volumes' objects go. The fields are the loop's own.
type localVolumes struct {
	removing map[string]bool // by name, under way
	removed  map[string]bool
}

// reclaim takes in the state of a volume, or that it is gone.
func (a *Agent) reclaim(pv *corev1.PersistentVolume, gone bool) {
	if !resource.IsLocalVolume(pv) || resource.LocalVolumeHost(pv) != a.config.Hostname || a.config.LocalVolumes == "" {
		return
	}
	l := &a.local
	if gone || !resource.LocalVolumeOver(pv) {
		if l.removed[pv.Name] {
			delete(l.removed, pv.Name)
			a.reportSoon()
		}
		return
	}
	if l.removing[pv.Name] || l.removed[pv.Name] {
		return
	}
	l.removing[pv.Name] = true
	a.work.Go(func() {
		err := a.volumes.RemoveLocal(pv)
		a.post(func() {
			delete(l.removing, pv.Name)
			if err != nil {
				a.log.Warn("the data of a volume that is over stays", "volume", pv.Name, "err", err)
				return
			}
			l.removed[pv.Name] = true
			a.reportSoon()
		})
	})
}

// reclaimAll looks at all volumes, as at the start and when a removal met an
// error before.
func (a *Agent) reclaimAll(v *view.View) {
	for name := range a.local.removed {
		if _, ok := view.Get(v, resource.PersistentVolumes, "", name); !ok {
			delete(a.local.removed, name)
		}
	}
	for pv := range view.List(v, resource.PersistentVolumes, "") {
		a.reclaim(pv, false)
	}
}

// localAnnotations is what the Node says of local volumes.
func (a *Agent) localAnnotations() map[string]string {
	if a.config.LocalVolumes == "" {
		return nil
	}
	names := make([]string, 0, len(a.local.removed))
	for name := range a.local.removed {
		names = append(names, name)
	}
	slices.Sort(names)
	return map[string]string{resource.LocalFolder: a.config.LocalVolumes, resource.LocalRemoved: strings.Join(names, ",")}
}

// reportSoon has the Node written now, not only with the next heartbeat.
func (a *Agent) reportSoon() {
	select {
	case a.unreported <- struct{}{}:
	default: // somebody said so already
	}
}
