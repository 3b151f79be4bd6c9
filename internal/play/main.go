package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"time"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store/etcd"
)

type static struct{}

func (static) Authenticate(_ context.Context, t string) (authn.User, error) {
	if t == "admin" {
		return authn.User{Name: "admin", Groups: []string{authn.Masters, authn.Authenticated}}, nil
	}
	return authn.User{}, authn.ErrUnauthorized
}

func main() {
	t0 := time.Now()
	os.RemoveAll("/tmp/play/etcd")
	st, err := etcd.Embed(etcd.Config{Dir: "/tmp/play/etcd"})
	if err != nil {
		panic(err)
	}
	fmt.Println("etcd", time.Since(t0))
	s, err := apiserver.New(apiserver.Config{Kinds: resource.All(), ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}, NodePorts: [2]int32{30000, 32767}, AdvertiseAddress: netip.MustParseAddr("192.0.2.2"), AdvertisePort: 6443},
		apiserver.Deps{Store: st, TokenCheckers: []authn.Token{static{}}, ClientCAs: func() *x509.CertPool { return x509.NewCertPool() }, Now: time.Now, Log: slog.Default(), NodeTransport: &http.Transport{}})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := s.Load(ctx); err != nil {
		panic(err)
	}
	go func() { panic(s.Feed(ctx)) }()
	ts := httptest.NewUnstartedServer(s)
	ts.EnableHTTP2 = true
	ts.StartTLS()
	if err := s.Bootstrap(ctx, authz.DefaultRoles(), authz.DefaultBindings()); err != nil {
		panic(err)
	}
	s.SetReady()
	fmt.Println(ts.URL, time.Since(t0))
	os.WriteFile("/tmp/play/url", []byte(ts.URL), 0o600)
	select {}
}
