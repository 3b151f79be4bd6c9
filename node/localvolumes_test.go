package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/node/volume"
	"github.com/skiff-sh/skiff/resource"
)

func volumeOn(host, dir, name string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": resource.LocalProvisioner}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: filepath.Join(dir, name)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}},
			}}}},
		},
	}
}

func TestReclaim(t *testing.T) {
	dir := t.TempDir()
	a := &Agent{
		config: Config{Hostname: "here", LocalVolumes: dir}, volumes: volume.Root{Local: dir},
		inbox: make(chan func(), 1), unreported: make(chan struct{}, 1), ctx: t.Context(), log: slog.New(slog.DiscardHandler),
		local: localVolumes{removing: map[string]bool{}, removed: map[string]bool{}},
	}
	for _, name := range []string{"over", "bound", "retained", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	over, bound, retained, elsewhere := volumeOn("here", dir, "over"), volumeOn("here", dir, "bound"), volumeOn("here", dir, "retained"), volumeOn("there", dir, "elsewhere")
	bound.Status.Phase = corev1.VolumeBound
	retained.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	for _, pv := range []*corev1.PersistentVolume{over, retained, elsewhere} {
		pv.Status.Phase = corev1.VolumeReleased
	}
	for _, pv := range []*corev1.PersistentVolume{bound, retained, elsewhere, over} {
		a.reclaim(pv, false)
	}
	(<-a.inbox)()
	left, err := filepath.Glob(dir + "/*")
	if want := []string{dir + "/bound", dir + "/elsewhere", dir + "/retained"}; err != nil || strings.Join(left, " ") != strings.Join(want, " ") {
		t.Errorf("left %v, %v, want %v", left, err, want)
	}
	if got := a.localAnnotations()[resource.LocalRemoved]; got != "over" {
		t.Errorf("removed, it says: %q", got)
	}
	a.reclaim(over, true)
	if got := a.localAnnotations()[resource.LocalRemoved]; got != "" {
		t.Errorf("after the volume's object is gone: %q", got)
	}
	if len(a.unreported) != 1 {
		t.Error("the Node is not to be written")
	}
	a.reclaim(retained, true)
	if _, err := os.Stat(dir + "/retained"); err != nil {
		t.Errorf("the object of a retained volume went, and the data too: %v", err)
	}
}

func TestPersistentVolumeOfClaim(t *testing.T) {
	c := clienttest.New()
	c.Put(resource.Nodes.Info, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelHostname: "here"}}})
	claim := func(name, volume string, phase corev1.PersistentVolumeClaimPhase) {
		c.Put(resource.PersistentVolumeClaims.Info, &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "c"},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: volume}, Status: corev1.PersistentVolumeClaimStatus{Phase: phase},
		})
	}
	pv := func(name, host string, change func(*corev1.PersistentVolume)) {
		v := volumeOn(host, "/v", name)
		v.Spec.ClaimRef = &corev1.ObjectReference{UID: "c"}
		change(v)
		c.Put(resource.PersistentVolumes.Info, v)
	}
	raw := corev1.PersistentVolumeBlock
	pv("fine", "here", func(*corev1.PersistentVolume) {})
	pv("far", "there", func(*corev1.PersistentVolume) {})
	pv("raw", "here", func(v *corev1.PersistentVolume) { v.Spec.VolumeMode = &raw })
	pv("other", "here", func(v *corev1.PersistentVolume) { v.Spec.ClaimRef.UID = "d" })
	for _, name := range []string{"fine", "far", "raw", "other", "gone"} {
		claim(name, name, corev1.ClaimBound)
	}
	claim("waits", "", corev1.ClaimPending)
	claim("p-own", "fine", corev1.ClaimBound)
	a := &Agent{client: c, config: Config{Name: "n"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"}}
	pod.Spec.Containers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}}
	for name, want := range map[string]string{
		"fine":  "",
		"none":  `error processing PVC default/none: failed to fetch PVC from API server: persistentvolumeclaims "none" not found`,
		"waits": "error processing PVC default/waits: PVC is not bound",
		"gone":  `error processing PVC default/gone: failed to fetch PV gone from API server: persistentvolumes "gone" not found`,
		"other": "error processing PVC default/other: found PV object other but its pv.Spec.ClaimRef.UID d does not point to claim.UID c",
		"raw":   "volume data has volumeMode Block, but is specified in volumeMounts",
		"far":   `MountVolume.NodeAffinity check failed for volume "far" : no matching NodeSelectorTerms`,
	} {
		v := &corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}
		got := ""
		if _, err := a.persistent(t.Context(), pod, v); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	own := &corev1.Volume{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}
	if _, err := a.persistent(t.Context(), pod, own); err == nil || err.Error() != "PVC default/p-own was not created for pod default/p (pod is not owner)" {
		t.Errorf("a claim that is another's: %v", err)
	}
}
