package stats

import (
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/volume"
)

// Disk is what is known beside the kernel's counters.
type Disk struct {
	Root string // a folder on the node's own disk
	// Images is a folder on the disk of images, and what they take of it.
	Images                      string
	ImageBytes, ImageInodesUsed uint64
	// Writable is what each container has written over its image, by its ID.
	Writable map[string]Taken
}

// Taken is room on a disk.
type Taken struct{ Bytes, Inodes uint64 }

// Summary returns everything: what Usage does, and networks and disks, for which
// the pods' folders are walked.
func (r *Reader) Summary(pods []Pod, d Disk) (*statsapi.Summary, error) {
	s, err := r.Usage(pods)
	if err != nil {
		return nil, err
	}
	s.Node.Network, s.Node.Rlimit = network("self"), processes()
	disk := filesystem(d.Root)
	s.Node.Fs = disk
	if images := filesystem(d.Images); images != nil {
		own := *images
		own.UsedBytes, own.InodesUsed = &d.ImageBytes, &d.ImageInodesUsed
		s.Node.Runtime = &statsapi.RuntimeStats{ImageFs: &own, ContainerFs: images}
	}
	for i := range s.Pods {
		r.disks(&s.Pods[i], pods[i], d, disk)
	}
	return s, nil
}

// disks adds to a pod what it keeps and sends.
func (r *Reader) disks(out *statsapi.PodStats, p Pod, d Disk, disk *statsapi.FsStats) {
	if n, err := cgroup.Processes(p.Group); err == nil {
		out.ProcessStats = &statsapi.ProcessStats{ProcessCount: &n}
	}
	if p.Sandbox != "" {
		out.Network = networkOf(cgroup.Process(p.Sandbox))
	}
	var sum Taken
	for i, c := range p.Containers {
		written, logs := d.Writable[c.ID], r.taken(c.Logs)
		out.Containers[i].Rootfs, out.Containers[i].Logs = part(disk, written), part(disk, logs)
		sum = Taken{sum.Bytes + written.Bytes + logs.Bytes, sum.Inodes + written.Inodes + logs.Inodes}
	}
	for _, v := range p.Volumes {
		used := r.taken(v.Path)
		on := filesystem(v.Path)
		if on == nil {
			continue
		}
		out.VolumeStats = append(out.VolumeStats, statsapi.VolumeStats{Name: v.Name, PVCRef: v.Claim, FsStats: *part(on, used)})
		if v.OnDisk {
			sum = Taken{sum.Bytes + used.Bytes, sum.Inodes + used.Inodes}
		}
	}
	out.EphemeralStorage = part(disk, sum)
}

func (r *Reader) taken(dir string) Taken {
	bytes, files, err := volume.Usage(dir)
	if err != nil {
		r.log.Debug("the size of a folder is not known", "path", dir, "err", err)
	}
	return Taken{uint64(bytes), uint64(files)}
}

// filesystem tells the room on the disk of a folder; nil if it is not there.
func filesystem(dir string) *statsapi.FsStats {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil
	}
	block := uint64(fs.Bsize)
	return &statsapi.FsStats{
		Time: metav1.Now(), AvailableBytes: count(fs.Bavail * block), CapacityBytes: count(fs.Blocks * block),
		UsedBytes: count((fs.Blocks - fs.Bfree) * block),
		Inodes:    &fs.Files, InodesFree: &fs.Ffree, InodesUsed: count(fs.Files - fs.Ffree),
	}
}

// part is what something takes of a disk.
func part(disk *statsapi.FsStats, taken Taken) *statsapi.FsStats {
	if disk == nil {
		return nil
	}
	out := *disk
	out.UsedBytes, out.InodesUsed = &taken.Bytes, &taken.Inodes
	return &out
}
