package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// endpoint is where a webhook is, comparable: webhooks at the same one share
// their connections.
type endpoint struct {
	url             string
	namespace, name string // of a service
	path            string
	port            int32
	authorities     string // PEM
}

// defaultPort is that of a service that does not say one.
const defaultPort = 443

func endpointOf(c *admissionregistrationv1.WebhookClientConfig) endpoint {
	at := endpoint{authorities: string(c.CABundle)}
	if c.URL != nil {
		at.url = *c.URL
	}
	if s := c.Service; s != nil {
		at.namespace, at.name, at.port = s.Namespace, s.Name, defaultPort
		if s.Path != nil {
			at.path = *s.Path
		}
		if s.Port != nil && *s.Port != 0 {
			at.port = *s.Port
		}
	}
	return at
}

// client is the way to one endpoint. It is made when it is first needed.
type client struct {
	endpoint endpoint
	config   Config

	once sync.Once
	rest *rest.RESTClient
	err  error
}

func (c *client) get() (*rest.RESTClient, error) {
	c.once.Do(func() { c.rest, c.err = c.connect() })
	return c.rest, c.err
}

// How many idle connections are kept to a webhook and how long, as client-go
// does.
const (
	idleConnections = 25
	idleTime        = 90 * time.Second
	handshakeTime   = 10 * time.Second
)

// connect prepares calls. Only HTTP/1.1 is spoken, as upstream does: connections
// of HTTP/2 would all lead to the same pod of a service.
func (c *client) connect() (*rest.RESTClient, error) {
	config := &rest.Config{QPS: -1, WarningHandler: rest.NoWarnings{}} // requests are bounded where they come in
	config.NegotiatedSerializer = serializer.NegotiatedSerializerWrapper(runtime.SerializerInfo{Serializer: codec()})
	config.ContentType = runtime.ContentTypeJSON
	transport := &http.Transport{
		DialContext: c.config.Dial, TLSClientConfig: &tls.Config{}, TLSHandshakeTimeout: handshakeTime,
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleTime,
	}
	if c.endpoint.authorities != "" {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(c.endpoint.authorities)) {
			return nil, errors.New("unable to load root certificates: unable to parse bytes as PEM block")
		}
	}
	if err := c.aim(config, transport); err != nil {
		return nil, err
	}
	return rest.UnversionedRESTClientForConfigAndClient(config, &http.Client{Transport: transport})
}

// aim sets host and path. A service is known by its name within the cluster,
// and each connection goes to one of its endpoints.
func (c *client) aim(config *rest.Config, transport *http.Transport) error {
	at := c.endpoint
	if at.name == "" {
		u, err := url.Parse(at.url)
		if err != nil {
			return fmt.Errorf("Unparsable URL: %v", err) //nolint:staticcheck // upstream's text
		}
		config.Host, config.APIPath = u.Scheme+"://"+u.Host, u.Path
		transport.Proxy = http.ProxyFromEnvironment
		return nil
	}
	server := at.name + "." + at.namespace + ".svc"
	config.Host, config.APIPath = "https://"+net.JoinHostPort(server, strconv.Itoa(int(at.port))), at.path
	transport.TLSClientConfig.ServerName = server
	dial := c.config.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		address, err := c.config.Resolve(at.namespace, at.name, at.port)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, address)
	}
	return nil
}

// codec reads and writes reviews of both versions.
func codec() runtime.Codec {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(admissionv1.SchemeGroupVersion, &admissionv1.AdmissionReview{})
	scheme.AddKnownTypes(admissionv1beta1.SchemeGroupVersion, &admissionv1beta1.AdmissionReview{})
	return serializer.NewCodecFactory(scheme).LegacyCodec(admissionv1beta1.SchemeGroupVersion, admissionv1.SchemeGroupVersion)
}
