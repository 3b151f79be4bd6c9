package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

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

// dialEngine connects to the container engine of a running node.
func dialEngine(config Config) (*grpc.ClientConn, error) {
	n := config.nodeConfig(netip.Addr{})
	if !running(config.Paths()) || !config.Node {
		return nil, fmt.Errorf("cluster %q does not run a node on this machine: start it with \"skiff up\"", config.Name)
	}
	conn, err := grpc.NewClient("unix://"+n.engine().Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	return conn, nil
}

// LoadImages loads archives into a node's image store. They are kept from
// garbage collection.
func LoadImages(ctx context.Context, config Config, files []string, loaded func(name string)) error {
	conn, err := dialEngine(config)
	if err != nil {
		return err
	}
	defer conn.Close()
	loader := &image.Loader{Conn: conn, Images: runtimeapi.NewImageServiceClient(conn)}
	for _, file := range files {
		names, err := loader.LoadFile(ctx, file, image.Options{Pin: true})
		if err != nil {
			return err
		}
		for _, name := range names {
			loaded(name)
		}
	}
	return nil
}

// ListImages lists a node's images.
func ListImages(ctx context.Context, config Config) ([]Image, error) {
	conn, err := dialEngine(config)
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
