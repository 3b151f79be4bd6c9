

package main

import (
	_ "github.com/evanphx/json-patch"
	_ "gopkg.in/evanphx/json-patch.v4"
	_ "github.com/google/nftables"
	_ "github.com/miekg/dns"
	_ "github.com/spf13/cobra"
	_ "github.com/tidwall/btree"
	_ "github.com/vishvananda/netlink"
	_ "github.com/vishvananda/netns"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/containerd/containerd/v2/client"
	_ "github.com/google/go-containerregistry/pkg/v1/tarball"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/time/rate"
	_ "google.golang.org/grpc"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/apimachinery/pkg/apis/meta/v1"
	_ "k8s.io/apiserver/pkg/util/proxy"
	_ "k8s.io/client-go/kubernetes"
	_ "k8s.io/client-go/tools/remotecommand"
	_ "k8s.io/client-go/informers"
	_ "k8s.io/client-go/tools/cache"
	_ "k8s.io/component-base/version"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
	_ "k8s.io/kubectl/pkg/cmd"
	_ "k8s.io/kube-openapi/pkg/spec3"
	_ "k8s.io/streaming/pkg/httpstream"
	_ "k8s.io/utils/ptr"
	_ "sigs.k8s.io/yaml"
	_ "sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	_ "github.com/go-jose/go-jose/v4"
	_ "github.com/google/go-cmp/cmp"
	_ "golang.org/x/tools/txtar"
)

func main() {}
