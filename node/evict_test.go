package node

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// TestEviction plays scripts: thresholds and pods, and then what there is left of the
// node. "go test -run TestEviction -update" rewrites what follows from each line.
func TestEviction(t *testing.T) {
	scripts(t, "testdata/evict", playEviction)
}

// shortage is a node with a gibibyte of memory, and a hundred of all else.
type shortage struct {
	t        *testing.T
	config   EvictionConfig
	loads    []Load
	figures  Figures
	pressure Pressure
	now      time.Time
	out      strings.Builder
}

func playEviction(t *testing.T, script string) string {
	s := &shortage{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case len(words) == 0, words[0] == "#":
		case words[0] == ">":
			s.out.WriteString(line)
			s.happen(words[1], words[2:])
			continue
		case words[0] == "pod":
			s.pod(words[1], words[2:])
		default:
			into := map[string]*string{"hard": &s.config.Hard, "soft": &s.config.Soft, "soft-grace": &s.config.SoftGrace}[words[0]]
			if into != nil {
				*into = words[1]
			} else {
				s.config.MaxPodGrace = s.number(words[1])
			}
		}
		s.out.WriteString(line)
	}
	if _, err := s.config.Thresholds(); err != nil {
		fmt.Fprintf(&s.out, "  %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return s.out.String()
}

func (s *shortage) number(text string) int64 {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return q.Value()
}

func (s *shortage) pod(name string, traits []string) {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
	p.Name, p.UID = name, types.UID(name)
	l := Load{Pod: p, Containers: map[string]uint64{}}
	for _, trait := range traits {
		what, value, _ := strings.Cut(trait, "=")
		switch what {
		case "memory":
			l.Known, l.Memory = true, uint64(s.number(value))
			l.Containers["main"] = l.Memory
		case "processes":
			l.Known, l.Processes = true, uint64(s.number(value))
		case "request":
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(value)}
		case "priority":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				s.t.Fatal(err)
			}
			priority := int32(n)
			p.Spec.Priority = &priority
		case "tolerates":
			p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}
	}
	s.loads = append(s.loads, l)
}

func (s *shortage) happen(what string, words []string) {
	if what == "tick" {
		d, err := time.ParseDuration(words[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	} else {
		s.figures = Figures{MemoryTotal: 1 << 30, MemoryAvailable: 1 << 30, DiskTotal: 100, DiskAvailable: 100, InodesTotal: 100, InodesFree: 100, MaxPIDs: 100}
		for _, word := range words {
			name, value, _ := strings.Cut(word, "=")
			n := uint64(s.number(value))
			switch name {
			case "memory":
				s.figures.MemoryAvailable = n
			case "disk":
				s.figures.DiskAvailable = n
			case "inodes":
				s.figures.InodesFree = n
			case "pids":
				s.figures.PIDs = 100 - n
			}
		}
	}
	thresholds, err := s.config.Thresholds()
	if err != nil {
		s.t.Fatal(err)
	}
	var scarce Scarcity
	var over []Threshold
	s.pressure, scarce, over = s.pressure.Next(s.figures, thresholds, s.now)
	fmt.Fprintf(&s.out, "  conditions %v\n", scarce.conditions())
	for _, l := range s.loads {
		if no := scarce.Refuse(l.Pod); no != nil {
			fmt.Fprintf(&s.out, "  refuse %s: %s\n", l.Pod.Name, strings.TrimSpace(no.Message))
		}
	}
	for _, t := range over {
		if !t.Signal.byPods() {
			continue
		}
		EvictionOrder(t.Signal, s.loads)
		fmt.Fprintf(&s.out, "  %s, grace %d:\n", t.Signal, evictionGrace(t, s.config.MaxPodGrace))
		for _, l := range s.loads {
			fmt.Fprintf(&s.out, "    %s: %s\n", l.Pod.Name, strings.TrimSpace(EvictionMessage(t, s.figures, l)))
		}
	}
}
