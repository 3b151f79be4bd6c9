package cgroup

import "testing"

func TestPlaces(t *testing.T) {
	for _, c := range []struct{ parent, pod, container string }{
		{"/kubepods/burstable/poda-b", "/kubepods/burstable/poda-b", "/kubepods/burstable/poda-b/1f"},
		{
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice/cri-containerd-1f.scope",
		},
		{ // systemd puts the slice where its name says
			"/skiff-one.slice/skiff-one-poda.slice",
			"/skiff.slice/skiff-one.slice/skiff-one-poda.slice",
			"/skiff.slice/skiff-one.slice/skiff-one-poda.slice/cri-containerd-1f.scope",
		},
	} {
		if got := OfPod(c.parent); got != c.pod {
			t.Errorf("%s: pod at %s, want %s", c.parent, got, c.pod)
		}
		if got := OfContainer(c.parent, "1f"); got != c.container {
			t.Errorf("%s: container at %s, want %s", c.parent, got, c.container)
		}
	}
}
