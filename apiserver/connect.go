package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// connect admits a connection to a pod, a service or a node, and returns the
// request as admission leaves it: steps see what it asks for as an object, and may
// change that.
func (s *Server) connect(r *http.Request, c *call) (*http.Request, error) {
	if c.dryRun {
		return nil, apierrors.NewBadRequest("dryRun is not supported")
	}
	options, err := connectOptions(c, r.URL.Query())
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	before := options.DeepCopyObject()
	if err := s.admitConnection(c, options); err != nil {
		return nil, err
	}
	if apiequality.Semantic.DeepEqual(before, options) {
		return r, nil
	}
	r = r.Clone(r.Context())
	r.URL.RawQuery = connectQuery(c, options, r.URL.Query()).Encode()
	return r, nil
}

// connectOptions reads what a connection asks for, which the API describes as an
// object in the query.
func connectOptions(c *call, q url.Values) (runtime.Object, error) {
	on := func(name string) bool { return truthy(q.Get(name)) }
	switch c.part.Kind.Kind {
	case "PodExecOptions":
		return &corev1.PodExecOptions{
			Stdin: on("stdin"), Stdout: on("stdout"), Stderr: on("stderr"), TTY: on("tty"), Container: q.Get("container"), Command: q["command"],
		}, nil
	case "PodAttachOptions":
		return &corev1.PodAttachOptions{
			Stdin: on("stdin"), Stdout: on("stdout"), Stderr: on("stderr"), TTY: on("tty"), Container: q.Get("container"),
		}, nil
	case "PodPortForwardOptions":
		ports, err := portNumbers(q["ports"])
		return &corev1.PodPortForwardOptions{Ports: ports}, err
	}
	path := c.target.rest
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	switch c.part.Kind.Kind {
	case "PodProxyOptions":
		return &corev1.PodProxyOptions{Path: path}, nil
	case "ServiceProxyOptions":
		return &corev1.ServiceProxyOptions{Path: path}, nil
	}
	return &corev1.NodeProxyOptions{Path: path}, nil
}

func portNumbers(texts []string) ([]int32, error) {
	var ports []int32
	for _, text := range strings.Split(strings.Join(texts, ","), ",") {
		if text == "" {
			continue
		}
		port, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read port %q: %w", text, err)
		}
		ports = append(ports, int32(port))
	}
	return ports, nil
}

// connectQuery says in a query what the options say; proxied requests say it in
// their path instead.
func connectQuery(c *call, options runtime.Object, q url.Values) url.Values {
	streams := func(in, out, err, tty bool, container string) {
		for name, value := range map[string]bool{"stdin": in, "stdout": out, "stderr": err, "tty": tty} {
			q.Set(name, strconv.FormatBool(value))
		}
		q.Set("container", container)
	}
	switch o := options.(type) {
	case *corev1.PodExecOptions:
		streams(o.Stdin, o.Stdout, o.Stderr, o.TTY, o.Container)
		q["command"] = o.Command
	case *corev1.PodAttachOptions:
		streams(o.Stdin, o.Stdout, o.Stderr, o.TTY, o.Container)
	case *corev1.PodPortForwardOptions:
		q.Del("ports")
		for _, port := range o.Ports {
			q.Add("ports", strconv.Itoa(int(port)))
		}
	case *corev1.PodProxyOptions:
		c.target.rest = o.Path
	case *corev1.ServiceProxyOptions:
		c.target.rest = o.Path
	case *corev1.NodeProxyOptions:
		c.target.rest = o.Path
	}
	return q
}
