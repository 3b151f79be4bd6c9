package resource_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/resource"
)

var update = flag.Bool("update", false, "write what the scripts of testdata answer into them")

// now is the time at which all scripts run.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Each file of testdata is a script of cases:
//
//	## title [subresource]
//	an object in YAML, or the old one, "~~~" and the new one
//	=>
//	what a user gets: errors, or the object as it is stored; warnings; columns
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("list testdata: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, block := range strings.Split(string(data), "## ")[1:] {
		title, rest, _ := strings.Cut(block, "\n")
		input, want, _ := strings.Cut(rest, "=>\n")
		got := answer(t, title, input)
		fmt.Fprintf(&out, "## %s\n%s=>\n%s\n", title, input, got)
		if strings.TrimSpace(got) != strings.TrimSpace(want) && !*update {
			t.Errorf("%s: got\n%s\nwant\n%s", title, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(t *testing.T, title, input string) string {
	t.Helper()
	sub := ""
	if i := strings.Index(title, "["); i >= 0 {
		sub = strings.Trim(title[i:], "[]")
	}
	first, second, isUpdate := strings.Cut(input, "~~~\n")
	info, obj := decode(t, first)
	req := resource.Request{Verb: resource.Create, Now: metav1.NewTime(now), User: resource.User{Name: "jane", Groups: []string{"staff"}}}
	var old resource.Object
	if isUpdate {
		old = obj
		_, obj = decode(t, second)
		req.Verb, req.Subresource = resource.Update, sub
		if part := info.Subresource(sub); part != nil && part.Own() {
			part.Take(obj, old)
		} else if info.CopyStatus != nil {
			info.CopyStatus(obj, old.DeepCopyObject().(resource.Object))
		}
	}
	return result(info, req, obj, old)
}

func result(info *resource.Info, req resource.Request, obj, old resource.Object) string {
	if info.Prepare != nil {
		info.Prepare(req, obj, old)
	}
	var out strings.Builder
	if info.Validate != nil {
		for _, e := range info.Validate(req, obj, old) {
			fmt.Fprintln(&out, "error:", e)
		}
	}
	if out.Len() > 0 {
		return out.String()
	}
	data, err := yaml.Marshal(obj)
	if err != nil {
		return err.Error()
	}
	out.Write(data)
	for _, c := range info.Columns {
		fmt.Fprintf(&out, "# %s: %v\n", strings.ToUpper(c.Name), c.Value(obj, now))
	}
	if info.Warn != nil {
		for _, w := range info.Warn(obj, old) {
			fmt.Fprintln(&out, "warning:", w)
		}
	}
	return out.String()
}

// decode returns the object in a document, with its defaults.
func decode(t *testing.T, doc string) (*resource.Info, resource.Object) {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
		t.Fatalf("decode %q: %v", doc, err)
	}
	for _, info := range resource.All() {
		if info.GVK.Kind != meta.Kind {
			continue
		}
		version := info.Served[0]
		for _, v := range info.Served {
			if v.GVK.GroupVersion().String() == meta.APIVersion {
				version = v
			}
		}
		obj := version.New()
		if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
			t.Fatalf("decode %q: %v", doc, err)
		}
		obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		obj = version.From(obj)
		if info.Default != nil {
			info.Default(obj)
		}
		return info, obj
	}
	t.Fatalf("kind %q in %q: there is no such kind", meta.Kind, doc)
	return nil, nil
}

// TestStored stores and reads every object of the scripts that is good.
func TestStored(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(data), "## ")[1:] {
			_, rest, _ := strings.Cut(block, "\n")
			input, _, _ := strings.Cut(rest, "=>\n")
			first, _, _ := strings.Cut(input, "~~~\n")
			info, obj := decode(t, first)
			bytes, err := resource.EncodeProtobuf(info, obj)
			if err != nil {
				t.Fatal(err)
			}
			back, err := resource.DecodeStored(info, bytes)
			if err != nil {
				t.Fatal(err)
			}
			if info.Default != nil {
				info.Default(back)
			}
			if !equality.Semantic.DeepEqual(obj, back) {
				t.Errorf("%s: stored\n%s\nread\n%s", file, toYAML(t, obj), toYAML(t, back))
			}
			good := info.Validate == nil || len(info.Validate(resource.Request{}, obj, nil)) == 0
			for _, also := range info.Served[1:] {
				if again := also.From(also.To(obj)); good && !equality.Semantic.DeepEqual(again, obj) {
					t.Errorf("%s as %s and back: got\n%s\nwant\n%s", file, also.GVK, toYAML(t, again), toYAML(t, obj))
				}
			}
			count++
		}
	}
	if count < 20 {
		t.Errorf("%d objects, want more", count)
	}
}

func toYAML(t *testing.T, obj any) string {
	t.Helper()
	data, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAllNames holds what clients and stores know kinds by.
func TestAllNames(t *testing.T) {
	want := `namespaces ns Namespace cluster /registry/namespaces/
componentstatuses cs ComponentStatus cluster /registry/componentstatuses/
nodes no Node cluster /registry/minions/
pods po Pod namespaced /registry/pods/
services svc Service namespaced /registry/services/specs/
endpoints ep Endpoints namespaced /registry/services/endpoints/
endpointslices.discovery.k8s.io  EndpointSlice namespaced /registry/endpointslices/
configmaps cm ConfigMap namespaced /registry/configmaps/
secrets  Secret namespaced /registry/secrets/
serviceaccounts sa ServiceAccount namespaced /registry/serviceaccounts/
limitranges limits LimitRange namespaced /registry/limitranges/
resourcequotas quota ResourceQuota namespaced /registry/resourcequotas/
events ev Event namespaced /registry/events/
leases.coordination.k8s.io  Lease namespaced /registry/leases/
poddisruptionbudgets.policy pdb PodDisruptionBudget namespaced /registry/poddisruptionbudgets/
replicasets.apps rs ReplicaSet namespaced /registry/replicasets/
deployments.apps deploy Deployment namespaced /registry/deployments/
replicationcontrollers rc ReplicationController namespaced /registry/controllers/
podtemplates  PodTemplate namespaced /registry/podtemplates/
daemonsets.apps ds DaemonSet namespaced /registry/daemonsets/
statefulsets.apps sts StatefulSet namespaced /registry/statefulsets/
controllerrevisions.apps  ControllerRevision namespaced /registry/controllerrevisions/
jobs.batch  Job namespaced /registry/jobs/
cronjobs.batch cj CronJob namespaced /registry/cronjobs/
horizontalpodautoscalers.autoscaling hpa HorizontalPodAutoscaler namespaced /registry/horizontalpodautoscalers/
persistentvolumes pv PersistentVolume cluster /registry/persistentvolumes/
persistentvolumeclaims pvc PersistentVolumeClaim namespaced /registry/persistentvolumeclaims/
networkpolicies.networking.k8s.io netpol NetworkPolicy namespaced /registry/networkpolicies/
ingresses.networking.k8s.io ing Ingress namespaced /registry/ingress/
ingressclasses.networking.k8s.io  IngressClass cluster /registry/ingressclasses/
servicecidrs.networking.k8s.io  ServiceCIDR cluster /registry/servicecidrs/
ipaddresses.networking.k8s.io ip IPAddress cluster /registry/ipaddresses/
certificatesigningrequests.certificates.k8s.io csr CertificateSigningRequest cluster /registry/certificatesigningrequests/
runtimeclasses.node.k8s.io  RuntimeClass cluster /registry/runtimeclasses/
csidrivers.storage.k8s.io  CSIDriver cluster /registry/csidrivers/
csinodes.storage.k8s.io  CSINode cluster /registry/csinodes/
csistoragecapacities.storage.k8s.io  CSIStorageCapacity namespaced /registry/csistoragecapacities/
volumeattachments.storage.k8s.io  VolumeAttachment cluster /registry/volumeattachments/
volumeattributesclasses.storage.k8s.io vac VolumeAttributesClass cluster /registry/volumeattributesclasses/
storageversionmigrations.storagemigration.k8s.io  StorageVersionMigration cluster /registry/storageversionmigrations/
clustertrustbundles.certificates.k8s.io  ClusterTrustBundle cluster /registry/clustertrustbundles/
podcertificaterequests.certificates.k8s.io  PodCertificateRequest namespaced /registry/podcertificaterequests/
flowschemas.flowcontrol.apiserver.k8s.io  FlowSchema cluster /registry/flowschemas/
prioritylevelconfigurations.flowcontrol.apiserver.k8s.io  PriorityLevelConfiguration cluster /registry/prioritylevelconfigurations/
roles.rbac.authorization.k8s.io  Role namespaced /registry/roles/
clusterroles.rbac.authorization.k8s.io  ClusterRole cluster /registry/clusterroles/
rolebindings.rbac.authorization.k8s.io  RoleBinding namespaced /registry/rolebindings/
clusterrolebindings.rbac.authorization.k8s.io  ClusterRoleBinding cluster /registry/clusterrolebindings/
priorityclasses.scheduling.k8s.io pc PriorityClass cluster /registry/priorityclasses/
storageclasses.storage.k8s.io sc StorageClass cluster /registry/storageclasses/
validatingwebhookconfigurations.admissionregistration.k8s.io  ValidatingWebhookConfiguration cluster /registry/validatingwebhookconfigurations/
mutatingwebhookconfigurations.admissionregistration.k8s.io  MutatingWebhookConfiguration cluster /registry/mutatingwebhookconfigurations/
nodes.metrics.k8s.io  NodeMetrics cluster /registry/metrics.k8s.io/nodes/
pods.metrics.k8s.io  PodMetrics namespaced /registry/metrics.k8s.io/pods/
`
	var got strings.Builder
	for _, i := range resource.All() {
		scope := "cluster"
		if i.Namespaced {
			scope = "namespaced"
		}
		fmt.Fprintln(&got, i.GR(), strings.Join(i.Short, ","), i.GVK.Kind, scope, i.Prefix)
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
