package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/view"
)

// teller are the commands of stories. KIND is a resource's name, with a
// subresource or not.
var teller = map[string]func(s *Sim, args []string, input string) error{
	"create": (*Sim).tellCreate, // the YAML documents of its input, with the UID of KIND NAMESPACE/NAME as $uid
	"patch":  (*Sim).tellPatch,  // KIND NAMESPACE/NAME by the YAML merge patch of its input
	"delete": (*Sim).tellDelete, // KIND NAMESPACE/NAME [PROPAGATION]; NAME* is the first that so begins
	"drain":  (*Sim).tellDrain,  // NODE: it takes no more pods, and those on it are evicted
	"node":   (*Sim).tellNode,   // NODE "lost" or "works"
	"pass":   (*Sim).tellPass,   // DURATION
}

func (s *Sim) tell(c command) error {
	do := teller[c.words[0]]
	if do == nil {
		return fmt.Errorf("there is no such command")
	}
	return do(s, c.words[1:], c.input)
}

func kindOf(that func(*resource.Info) bool) (*resource.Info, error) {
	all := resource.All()
	if i := slices.IndexFunc(all, that); i >= 0 {
		return all[i], nil
	}
	return nil, fmt.Errorf("there is no such kind")
}

func (s *Sim) tellCreate(args []string, input string) error {
	if len(args) > 0 {
		op, err := s.named(args[0], args[1])
		if err != nil {
			return err
		}
		e := s.world.API.View().Entry(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
		if e == nil {
			return fmt.Errorf("there is no such object")
		}
		input = strings.ReplaceAll(input, "$uid", string(e.Object.GetUID()))
	}
	for _, doc := range strings.Split("\n"+input, "\n---") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			return err
		}
		info, err := kindOf(func(i *resource.Info) bool {
			return i.GVK == schema.FromAPIVersionAndKind(meta.APIVersion, meta.Kind)
		})
		if err != nil {
			return fmt.Errorf("%s %s: %w", meta.APIVersion, meta.Kind, err)
		}
		obj := info.New()
		if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
			return err
		}
		op := client.Op{Verb: resource.Create, Kind: info, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj}
		if err := s.as(op); err != nil {
			return err
		}
	}
	return nil
}

// named is an operation without a verb on KIND[/SUBRESOURCE] [NAMESPACE/]NAME.
func (s *Sim) named(kind, name string) (client.Op, error) {
	kind, subresource, _ := strings.Cut(kind, "/")
	info, err := kindOf(func(i *resource.Info) bool { return i.GVR.Resource == kind })
	if err != nil {
		return client.Op{}, err
	}
	namespace := ""
	if before, after, ok := strings.Cut(name, "/"); ok {
		namespace, name = before, after
	}
	if prefix, any := strings.CutSuffix(name, "*"); any {
		for e := range s.world.API.View().Entries(info, namespace, view.Key{}) {
			if strings.HasPrefix(e.Key.Name, prefix) {
				name = e.Key.Name
				break
			}
		}
	}
	return client.Op{Kind: info, Subresource: subresource, Namespace: namespace, Name: name}, nil
}

func (s *Sim) tellPatch(args []string, input string) error {
	op, err := s.named(args[0], args[1])
	if err != nil {
		return err
	}
	op.Verb, op.PatchType = resource.Patch, types.MergePatchType
	if op.Patch, err = yaml.YAMLToJSON([]byte(input)); err != nil {
		return err
	}
	return s.as(op)
}

func (s *Sim) tellDelete(args []string, _ string) error {
	op, err := s.named(args[0], args[1])
	if err != nil {
		return err
	}
	how := metav1.DeletePropagationBackground
	if len(args) > 2 {
		how = metav1.DeletionPropagation(args[2])
	}
	op.Verb, op.Delete = resource.Delete, &metav1.DeleteOptions{PropagationPolicy: &how}
	return s.as(op)
}

// tellDrain evicts as kubectl does: again and again, until budgets have let all go.
func (s *Sim) tellDrain(args []string, _ string) error {
	const every, tries = 5 * time.Second, 60
	if err := s.as(client.MergePatch(nodes, "", args[0], "", spec("unschedulable", true))); err != nil {
		return err
	}
	for range tries {
		left := 0
		for p := range view.By(s.world.API.View(), resource.Pods, resource.PodNodeIndex, args[0]) {
			if owner := metav1.GetControllerOfNoCopy(p); owner == nil || owner.Kind != "DaemonSet" {
				left++
				_ = s.as(eviction(view.KeyOf(p))) // a budget may forbid it yet
			}
		}
		if left == 0 {
			return nil
		}
		s.until(s.clock.Now().Add(every))
	}
	return fmt.Errorf("its pods are still there after %s", every*tries)
}

func (s *Sim) tellNode(args []string, _ string) error {
	if !slices.Contains([]string{kubelet.Lost, kubelet.Works}, args[1]) {
		return fmt.Errorf("a node is %q or %q", kubelet.Lost, kubelet.Works)
	}
	return s.as(markNode(args[0], args[1]))
}

func (s *Sim) tellPass(args []string, _ string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	s.until(s.clock.Now().Add(d))
	return nil
}
