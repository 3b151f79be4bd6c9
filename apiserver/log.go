package apiserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveLog passes a container's log on from the agent of the pod's node.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request, c *call) error {
	options, err := logOptions(r.URL.Query())
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if errs := checkLogOptions(options); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, c.target.name, errs)
	}
	pod, ok := view.Get(s.View(), resource.Pods, c.target.namespace, c.target.name)
	if !ok {
		return apierrors.NewNotFound(c.info.GR(), c.target.name)
	}
	container, err := containerOf(pod, options.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		w.WriteHeader(http.StatusNoContent) // there is nothing yet
		return nil
	}
	node, err := s.nodeAddress(pod)
	if err != nil {
		return err
	}
	transport := s.deps.NodeTransport
	if options.InsecureSkipTLSVerifyBackend {
		transport = s.trustingTransport
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)() // who follows a log would hold up the server's end
	location := &url.URL{
		Scheme: "https", Host: node, Path: "/containerLogs/" + pod.Namespace + "/" + pod.Name + "/" + container, RawQuery: logQuery(options).Encode(),
	}
	if wsstream.IsWebSocketRequest(r) {
		return streamLog(w, r.WithContext(ctx), transport, location, pod.Name)
	}
	proxyLog(w, r.WithContext(ctx), transport, location, pod.Name)
	return nil
}

// streamLog is proxyLog for a WebSocket: each piece of the log is a message, in
// the encoding that the client and this server agree on.
func streamLog(w http.ResponseWriter, r *http.Request, transport http.RoundTripper, location *url.URL, pod string) error {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, location.String(), nil)
	if err != nil {
		return fmt.Errorf("ask the node agent: %w", err)
	}
	res, err := transport.RoundTrip(ask)
	if err != nil {
		return err
	}
	if res.StatusCode > http.StatusPartialContent {
		if err := logRefusal(res, pod); err != nil {
			return err
		}
		defer res.Body.Close()
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
		_, err := io.Copy(w, res.Body)
		return err
	}
	defer res.Body.Close()
	// What is read together with the end would be lost: the buffer tells of the two
	// one after the other.
	body := bufio.NewReader(res.Body)
	return wsstream.NewReader(body, true, wsstream.NewDefaultReaderProtocols()).Copy(w, r)
}

// logOptions reads a query as all queries of the API are read.
func logOptions(q url.Values) (*corev1.PodLogOptions, error) {
	o := &corev1.PodLogOptions{Container: q.Get("container")}
	var errs []error
	for name, flag := range map[string]*bool{
		"follow": &o.Follow, "previous": &o.Previous, "timestamps": &o.Timestamps, "insecureSkipTLSVerifyBackend": &o.InsecureSkipTLSVerifyBackend,
	} {
		if values, ok := q[name]; ok {
			errs = append(errs, runtime.Convert_Slice_string_To_bool(&values, flag, nil))
		}
	}
	for _, number := range []struct {
		name string
		to   **int64
	}{{"sinceSeconds", &o.SinceSeconds}, {"tailLines", &o.TailLines}, {"limitBytes", &o.LimitBytes}} {
		if values, ok := q[number.name]; ok {
			errs = append(errs, runtime.Convert_Slice_string_To_Pointer_int64(&values, number.to, nil))
		}
	}
	if values, ok := q["sinceTime"]; ok {
		errs = append(errs, metav1.Convert_Slice_string_To_Pointer_v1_Time(&values, &o.SinceTime, nil))
	}
	if values, ok := q["stream"]; ok {
		o.Stream = &values[0]
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// checkLogOptions reports all problems. Selecting a stream is behind a feature
// gate that is off, as upstream (KEP-3288).
func checkLogOptions(o *corev1.PodLogOptions) field.ErrorList {
	var errs field.ErrorList
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.Stream != nil {
		errs = append(errs, field.Forbidden(field.NewPath("stream"), "may not be specified"))
	}
	return errs
}

// logQuery is what the node agent is asked.
func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	for name, flag := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if flag {
			q.Set(name, "true")
		}
	}
	for name, number := range map[string]*int64{"sinceSeconds": o.SinceSeconds, "tailLines": o.TailLines, "limitBytes": o.LimitBytes} {
		if number != nil {
			q.Set(name, strconv.FormatInt(*number, 10))
		}
	}
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.UTC().Format(time.RFC3339))
	}
	return q
}

// proxyLog passes the request on, and what the agent answers back as it comes.
func proxyLog(w http.ResponseWriter, r *http.Request, transport http.RoundTripper, location *url.URL, pod string) {
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // logs are followed line by line
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = location, location.Host
			p.Out.Header = http.Header{}
		},
		ModifyResponse: func(res *http.Response) error { return logRefusal(res, pod) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				writeError(w, r, err)
			}
		},
	}
	proxy.ServeHTTP(w, r)
}

// maxRefusal bounds what is read of a node agent's error, in bytes; as upstream.
const maxRefusal = 50000

// logRefusal turns a node agent's plain refusal into the Status that clients of
// the API expect.
func logRefusal(res *http.Response, pod string) error {
	if res.StatusCode <= http.StatusPartialContent {
		res.Header = http.Header{"Content-Type": {"text/plain"}}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil {
		return fmt.Errorf("read the node agent's answer: %w", err)
	}
	res.Body.Close()
	text := strings.TrimSpace(string(data))
	var refusal *apierrors.StatusError
	switch res.StatusCode {
	case http.StatusInternalServerError:
		refusal = apierrors.NewInternalError(errors.New(text))
	case http.StatusBadRequest:
		refusal = apierrors.NewBadRequest(text)
	default:
		refusal = apierrors.NewGenericServerResponse(res.StatusCode, "", schema.GroupResource{Resource: "pods/log"}, pod, text, 0, false)
	}
	if data, err = json.Marshal(refusal.ErrStatus); err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	data = withType(schema.GroupVersionKind{Version: "v1", Kind: "Status"}, data)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	res.Header = http.Header{"Content-Type": {typeJSON}, "Content-Length": {strconv.Itoa(len(data))}}
	return nil
}
