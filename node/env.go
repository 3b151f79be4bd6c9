package node

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Cluster is what the environment and volumes of a pod may refer to.
type Cluster interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, bool)
	Secret(namespace, name string) (*corev1.Secret, bool)
	// Services yields the services of a namespace in name order.
	Services(namespace string) []*corev1.Service
}

// Env is one environment variable.
type Env struct{ Name, Value string }

// Environment returns the variables of a container in order: those of envFrom,
// those of env, and those of services. A reference that cannot be resolved is an
// error, worded as upstream's.
func Environment(f Facts, c *corev1.Container, cluster Cluster) ([]Env, error) {
	e := &environment{values: map[string]string{}, services: serviceEnv(f.Pod, cluster)}
	for i := range c.EnvFrom {
		if err := e.from(f.Pod, &c.EnvFrom[i], cluster); err != nil {
			return nil, err
		}
	}
	for i := range c.Env {
		if err := e.add(f, c, &c.Env[i], cluster); err != nil {
			return nil, err
		}
	}
	out := make([]Env, 0, len(e.order)+len(e.services))
	for _, name := range e.order {
		out = append(out, Env{name, e.values[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		if _, own := e.values[name]; !own {
			out = append(out, Env{name, e.services[name]})
		}
	}
	return out, nil
}

type environment struct {
	order            []string
	values, services map[string]string
}

func (e *environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.order = append(e.order, name)
	}
	e.values[name] = value
}

// lookup resolves $(name); what is unknown stays as it is.
func (e *environment) lookup(name string) string {
	if v, ok := e.values[name]; ok {
		return v
	}
	if v, ok := e.services[name]; ok {
		return v
	}
	return "$(" + name + ")"
}

func (e *environment) from(pod *corev1.Pod, src *corev1.EnvFromSource, cluster Cluster) error {
	data := map[string]string{}
	switch {
	case src.ConfigMapRef != nil:
		cm, ok := cluster.ConfigMap(pod.Namespace, src.ConfigMapRef.Name)
		if !ok {
			return missing(src.ConfigMapRef.Optional, fmt.Errorf("configmap %q not found", src.ConfigMapRef.Name))
		}
		data = cm.Data
	case src.SecretRef != nil:
		secret, ok := cluster.Secret(pod.Namespace, src.SecretRef.Name)
		if !ok {
			return missing(src.SecretRef.Optional, fmt.Errorf("secret %q not found", src.SecretRef.Name))
		}
		for k, v := range secret.Data {
			data[k] = string(v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(data)) {
		e.set(src.Prefix+k, data[k])
	}
	return nil
}

func missing(optional *bool, err error) error {
	if optional != nil && *optional {
		return nil
	}
	return err
}

func (e *environment) add(f Facts, c *corev1.Container, v *corev1.EnvVar, cluster Cluster) error {
	if v.Value != "" || v.ValueFrom == nil {
		e.set(v.Name, Expand(v.Value, e.lookup))
		return nil
	}
	value, ok, err := resolve(f, c, v.ValueFrom, cluster)
	if err != nil || !ok {
		return err
	}
	e.set(v.Name, value)
	return nil
}

// resolve returns what a source says; false for an optional one that is missing.
func resolve(f Facts, c *corev1.Container, src *corev1.EnvVarSource, cluster Cluster) (string, bool, error) {
	switch {
	case src.FieldRef != nil:
		value, err := FieldValue(f, src.FieldRef.FieldPath)
		return value, err == nil, err
	case src.ResourceFieldRef != nil:
		value, err := ResourceValue(f, src.ResourceFieldRef, c)
		return value, err == nil, err
	case src.ConfigMapKeyRef != nil:
		ref := src.ConfigMapKeyRef
		cm, ok := cluster.ConfigMap(f.Pod.Namespace, ref.Name)
		if !ok {
			return "", false, missing(ref.Optional, fmt.Errorf("configmap %q not found", ref.Name))
		}
		value, ok := cm.Data[ref.Key]
		if !ok {
			return "", false, missing(ref.Optional, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, f.Pod.Namespace, ref.Name))
		}
		return value, true, nil
	case src.SecretKeyRef != nil:
		ref := src.SecretKeyRef
		secret, ok := cluster.Secret(f.Pod.Namespace, ref.Name)
		if !ok {
			return "", false, missing(ref.Optional, fmt.Errorf("secret %q not found", ref.Name))
		}
		value, ok := secret.Data[ref.Key]
		if !ok {
			return "", false, missing(ref.Optional, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, f.Pod.Namespace, ref.Name))
		}
		return string(value), true, nil
	}
	return "", true, nil
}

// serviceEnv returns the variables that tell a pod of services: that of the API
// server always, those of its namespace if it wants them.
func serviceEnv(pod *corev1.Pod, cluster Cluster) map[string]string {
	env := map[string]string{}
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	for _, svc := range cluster.Services(corev1.NamespaceDefault) {
		if svc.Name == "kubernetes" && hasAddress(svc) {
			serviceVars(env, svc)
		}
	}
	if !links {
		return env
	}
	for _, svc := range cluster.Services(pod.Namespace) {
		if hasAddress(svc) {
			serviceVars(env, svc)
		}
	}
	return env
}

func hasAddress(svc *corev1.Service) bool {
	return svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != corev1.ClusterIPNone && len(svc.Spec.Ports) > 0
}

func serviceVars(env map[string]string, svc *corev1.Service) {
	prefix := envName(svc.Name)
	ip := svc.Spec.ClusterIP
	env[prefix+"_SERVICE_HOST"] = ip
	env[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(svc.Spec.Ports[0].Port))
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		port, protocol := strconv.Itoa(int(p.Port)), "TCP"
		if p.Protocol != "" {
			protocol = string(p.Protocol)
		}
		if p.Name != "" {
			env[prefix+"_SERVICE_PORT_"+envName(p.Name)] = port
		}
		// The variables of Docker links, which images of old still read.
		url := strings.ToLower(protocol) + "://" + net.JoinHostPort(ip, port)
		if i == 0 {
			env[prefix+"_PORT"] = url
		}
		link := prefix + "_PORT_" + port + "_" + strings.ToUpper(protocol)
		env[link] = url
		env[link+"_PROTO"] = strings.ToLower(protocol)
		env[link+"_PORT"] = port
		env[link+"_ADDR"] = ip
	}
}

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
