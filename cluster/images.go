package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/image"
)

// Image is an image on a node.
type Image struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Bytes uint64 `json:"bytes"`
}

// enginesOf are the container engines of a cluster's running nodes on this machine,
// or that of the one node named.
func enginesOf(config Config, node string) ([]NodeConfig, error) {
	local, err := localNodes(config)
	if err != nil {
		return nil, err
	}
	var nodes []NodeConfig
	if config.Node && running(config.Paths()) {
		nodes = append(nodes, config.nodeConfig(netip.Addr{}))
	}
	for _, n := range local {
		if running(n.paths()) {
			nodes = append(nodes, n.config())
		}
	}
	if node != "" {
		nodes = slices.DeleteFunc(nodes, func(n NodeConfig) bool { return n.Name != node })
	}
	switch {
	case len(nodes) == 0 && node != "":
		return nil, fmt.Errorf("--node %s: cluster %q does not run a node of that name on this machine", node, config.Name)
	case len(nodes) == 0:
		return nil, fmt.Errorf("cluster %q does not run a node on this machine: start it with \"skiff up\"", config.Name)
	}
	return nodes, nil
}

// dial connects to the container engine of a running node.
func (n *NodeConfig) dial() (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+n.engine().Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	return conn, nil
}

// LoadImages loads archives into the image stores of all nodes on this machine, or
// of the one named. They are kept from garbage collection. Each image is told once.
func LoadImages(ctx context.Context, config Config, node string, files []string, loaded func(name string)) error {
	nodes, err := enginesOf(config, node)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	var one sync.Mutex
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		all.Go(func() error {
			return n.load(ctx, files, func(name string) {
				one.Lock()
				defer one.Unlock()
				if !told[name] {
					loaded(name)
				}
				told[name] = true
			})
		})
	}
	return all.Wait()
}

func (n *NodeConfig) load(ctx context.Context, files []string, loaded func(name string)) error {
	conn, err := n.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	loader := &image.Loader{Conn: conn, Images: runtimeapi.NewImageServiceClient(conn)}
	for _, file := range files {
		names, err := loader.LoadFile(ctx, file, image.Options{Pin: true})
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
		for _, name := range names {
			loaded(name)
		}
	}
	return nil
}

// ListImages lists the images of the first node on this machine, or of the one
// named.
func ListImages(ctx context.Context, config Config, node string) ([]Image, error) {
	nodes, err := enginesOf(config, node)
	if err != nil {
		return nil, err
	}
	conn, err := nodes[0].dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	list, err := runtimeapi.NewImageServiceClient(conn).ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var out []Image
	for _, i := range list.Images {
		name := "<none>"
		if len(i.RepoTags) > 0 {
			name = i.RepoTags[0]
		}
		out = append(out, Image{Name: name, ID: strings.TrimPrefix(i.Id, "sha256:"), Bytes: i.Size})
	}
	return out, nil
}
