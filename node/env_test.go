package node

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// testCluster answers from maps.
type testCluster struct {
	configMaps map[string]*corev1.ConfigMap
	secrets    map[string]*corev1.Secret
	services   []*corev1.Service
}

func (c testCluster) ConfigMap(ns, name string) (*corev1.ConfigMap, bool) {
	cm, ok := c.configMaps[ns+"/"+name]
	return cm, ok
}

func (c testCluster) Secret(ns, name string) (*corev1.Secret, bool) {
	s, ok := c.secrets[ns+"/"+name]
	return s, ok
}

func (c testCluster) Services(ns string) []*corev1.Service {
	return slices.DeleteFunc(slices.Clone(c.services), func(s *corev1.Service) bool { return s.Namespace != ns })
}

func service(ns, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func TestExpand(t *testing.T) {
	value := func(name string) string {
		if name == "A" {
			return "1"
		}
		return "$(" + name + ")"
	}
	for in, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "1", "x$(A)y$(A)": "x1y1", "$$(A)": "$(A)", "$$$(A)": "$1", "$(B)": "$(B)",
		"$A": "$A", "$": "$", "$(": "$(", "$(A": "$(A", "a$$b": "a$b", "$(())": "$(())", "$é": "$é", "$()": "$()",
	} {
		if got := Expand(in, value); got != want {
			t.Errorf("Expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	yes := true
	cluster := testCluster{
		configMaps: map[string]*corev1.ConfigMap{"ns/cm": {Data: map[string]string{"b": "2", "a": "1", "PORT": "from-cm"}}},
		secrets:    map[string]*corev1.Secret{"ns/s": {Data: map[string][]byte{"k": []byte("v")}}},
		services: []*corev1.Service{
			service("default", "kubernetes", "10.0.0.1", corev1.ServicePort{Name: "https", Port: 443, Protocol: "TCP"}),
			service("default", "other", "10.0.0.9", corev1.ServicePort{Port: 1}),
			service("ns", "my-db", "10.0.0.2", corev1.ServicePort{Port: 5432, Protocol: "UDP"}),
			service("ns", "headless", "None", corev1.ServicePort{Port: 1}),
		},
	}
	from := func(v corev1.EnvVarSource) *corev1.EnvVarSource { return &v }
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", Labels: map[string]string{"app": "x", "a/b": "y"}}}
	pod.Spec.NodeName = "n"
	c := &corev1.Container{Name: "c",
		EnvFrom: []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
			{Prefix: "P_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}, Optional: &yes}},
		},
		Env: []corev1.EnvVar{
			{Name: "PORT", Value: "80"},
			{Name: "URL", Value: "http://$(MY_DB_SERVICE_HOST):$(PORT)/$(NOT_THERE)"},
			{Name: "LATER", Value: "$(IP)"},
			{Name: "IP", ValueFrom: from(corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}})},
			{Name: "LABEL", ValueFrom: from(corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['a/b']"}})},
			{Name: "CPU", ValueFrom: from(corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}})},
			{Name: "MEM", ValueFrom: from(corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "requests.memory", Divisor: resource.MustParse("1Mi")}})},
			{Name: "KEY", ValueFrom: from(corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k"}})},
			{Name: "SKIPPED", ValueFrom: from(corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "none", Optional: &yes}})},
			{Name: "EMPTY"},
			{Name: "KUBERNETES_PORT", Value: "mine"},
		},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("3000000")}},
	}
	f := Facts{Pod: pod, PodIPs: []string{"10.1.0.5", "fd00::5"}, HostIPs: []string{"192.0.2.1"}, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}}
	env, err := Environment(f, c, cluster)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range env {
		got = append(got, e.Name+"="+e.Value)
	}
	want := strings.Fields(`PORT=80 a=1 b=2 P_k=v URL=http://10.0.0.2:80/$(NOT_THERE) LATER=$(IP) IP=10.1.0.5 LABEL=y CPU=2 MEM=3 KEY=v EMPTY= KUBERNETES_PORT=mine
		KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443 KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1 KUBERNETES_PORT_443_TCP_PORT=443 KUBERNETES_PORT_443_TCP_PROTO=tcp
		KUBERNETES_SERVICE_HOST=10.0.0.1 KUBERNETES_SERVICE_PORT=443 KUBERNETES_SERVICE_PORT_HTTPS=443
		MY_DB_PORT=udp://10.0.0.2:5432 MY_DB_PORT_5432_UDP=udp://10.0.0.2:5432 MY_DB_PORT_5432_UDP_ADDR=10.0.0.2 MY_DB_PORT_5432_UDP_PORT=5432
		MY_DB_PORT_5432_UDP_PROTO=udp MY_DB_SERVICE_HOST=10.0.0.2 MY_DB_SERVICE_PORT=5432`)
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEnvironmentErrors(t *testing.T) {
	cluster := testCluster{configMaps: map[string]*corev1.ConfigMap{"ns/cm": {}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
	ref := corev1.LocalObjectReference{Name: "cm"}
	none := corev1.LocalObjectReference{Name: "none"}
	for want, src := range map[string]corev1.EnvVarSource{
		`configmap "none" not found`:                 {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: none}},
		`secret "none" not found`:                    {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: none}},
		"couldn't find key k in ConfigMap ns/cm":     {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "k"}},
		"unsupported fieldPath: spec.x":              {FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.x"}},
		"container other not found":                  {ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "other"}},
		"unsupported container resource : something": {ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "something"}},
	} {
		c := &corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: &src}}}
		if _, err := Environment(Facts{Pod: pod}, c, cluster); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
