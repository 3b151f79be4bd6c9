package node

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal is something of the node that may run low, by upstream's name.
type Signal string

// The signals.
const (
	MemoryAvailable  Signal = "memory.available"
	NodefsAvailable  Signal = "nodefs.available"
	NodefsInodesFree Signal = "nodefs.inodesFree"
	PIDAvailable     Signal = "pid.available"
)

// signals are all of them, the first to be relieved first.
func signals() []Signal {
	return []Signal{MemoryAvailable, PIDAvailable, NodefsAvailable, NodefsInodesFree}
}

// EvictionConfig says when the node has too little left, in the words of upstream's
// settings.
type EvictionConfig struct {
	// Hard are thresholds at which pods are ended at once: "memory.available<100Mi".
	// Upstream's defaults if empty.
	Hard string `json:"hard,omitempty"`
	// Soft are thresholds that may be crossed for SoftGrace: "memory.available=1m30s".
	Soft      string `json:"soft,omitempty"`
	SoftGrace string `json:"softGrace,omitempty"`
	// MaxPodGrace is the most time, in seconds, that a pod has to stop when a soft
	// threshold ends it.
	MaxPodGrace int64 `json:"maxPodGrace,omitempty"`
}

const defaultHard = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%"

// Threshold is how little of something is too little.
type Threshold struct {
	Signal   Signal
	Quantity resource.Quantity
	Percent  float64 // in place of Quantity
	// Grace is how long a soft threshold may be crossed; 0 is a hard one.
	Grace time.Duration
}

// Thresholds reads them, and reports every problem.
func (c EvictionConfig) Thresholds() ([]Threshold, error) {
	hard, hardErr := parseThresholds("--eviction-hard", cmp.Or(c.Hard, defaultHard))
	soft, softErr := parseThresholds("--eviction-soft", c.Soft)
	errs := []error{hardErr, softErr}
	graces := map[Signal]time.Duration{}
	for _, text := range split(c.SoftGrace, ",") {
		name, value, _ := strings.Cut(text, "=")
		grace, err := time.ParseDuration(value)
		if !slices.Contains(signals(), Signal(name)) || err != nil || grace <= 0 {
			errs = append(errs, fmt.Errorf("--eviction-soft-grace-period: %q: write a signal and a time, such as memory.available=1m30s", text))
		}
		graces[Signal(name)] = grace
	}
	for i := range soft {
		soft[i].Grace = graces[soft[i].Signal]
		if soft[i].Grace == 0 {
			errs = append(errs, fmt.Errorf("--eviction-soft-grace-period: is missing for %s: add %s=1m30s, say", soft[i].Signal, soft[i].Signal))
		}
	}
	if c.MaxPodGrace < 0 {
		errs = append(errs, fmt.Errorf("--eviction-max-pod-grace-period: %d is below 0; give seconds", c.MaxPodGrace))
	}
	all := append(hard, soft...)
	slices.SortStableFunc(all, func(a, b Threshold) int {
		return cmp.Compare(slices.Index(signals(), a.Signal), slices.Index(signals(), b.Signal))
	})
	return all, errors.Join(errs...)
}

func parseThresholds(flag, text string) ([]Threshold, error) {
	var out []Threshold
	var errs []error
	for _, one := range split(text, ",") {
		name, value, _ := strings.Cut(one, "<")
		t := Threshold{Signal: Signal(name)}
		if !slices.Contains(signals(), t.Signal) {
			errs = append(errs, fmt.Errorf("%s: %q: the node knows no signal %q; it knows %v, as memory.available<100Mi", flag, one, name, signals()))
			continue
		}
		if slices.ContainsFunc(out, func(o Threshold) bool { return o.Signal == t.Signal }) {
			errs = append(errs, fmt.Errorf("%s: %q: the signal is there already", flag, one))
			continue
		}
		var err error
		if share, ok := strings.CutSuffix(value, "%"); ok {
			t.Percent, err = strconv.ParseFloat(share, 64)
			if err == nil && (t.Percent < 0 || t.Percent > 100 || math.IsNaN(t.Percent)) {
				err = errors.New("out of range")
			}
		} else {
			t.Quantity, err = resource.ParseQuantity(value)
		}
		if err != nil || t.Quantity.Sign() < 0 {
			errs = append(errs, fmt.Errorf("%s: %q: %q is neither a quantity such as 100Mi nor a share such as 5%%", flag, one, value))
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

func split(text, separator string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, separator)
}

// least is the threshold in the signal's unit, where it has so much in all.
func (t Threshold) least(all uint64) uint64 {
	if t.Percent > 0 {
		return uint64(t.Percent / 100 * float64(all))
	}
	return uint64(t.Quantity.Value())
}

// of returns how much of a signal there is, and of how much; 0 of 0 where that is
// not known.
func (f Figures) of(s Signal) (available, all uint64) {
	switch s {
	case MemoryAvailable:
		return f.MemoryAvailable, f.MemoryTotal
	case NodefsAvailable:
		return f.DiskAvailable, f.DiskTotal
	case NodefsInodesFree:
		return f.InodesFree, f.InodesTotal
	case PIDAvailable:
		return f.MaxPIDs - min(f.PIDs, f.MaxPIDs), f.MaxPIDs
	}
	return 0, 0
}

// met reports whether there is too little.
func (t Threshold) met(f Figures) bool {
	available, all := f.of(t.Signal)
	return all > 0 && available < t.least(all)
}

// condition is the Node's condition that tells of a signal.
func (s Signal) condition() corev1.NodeConditionType {
	switch s {
	case MemoryAvailable:
		return corev1.NodeMemoryPressure
	case PIDAvailable:
		return corev1.NodePIDPressure
	}
	return corev1.NodeDiskPressure
}

// byPods reports whether ending pods relieves it. The disk is relieved by removing
// images.
func (s Signal) byPods() bool { return s == MemoryAvailable || s == PIDAvailable }
