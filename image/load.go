package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	streaming "github.com/containerd/containerd/api/services/streaming/v1"
	transfer "github.com/containerd/containerd/api/services/transfer/v1"
	types "github.com/containerd/containerd/api/types"
	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Loader puts image archives into containerd's Kubernetes namespace, where the
// CRI sees them. It speaks two of containerd's gRPC services directly, which
// links 0.9 MB beside the CRI; the client library would link 3.5 MB.
type Loader struct {
	Conn   *grpc.ClientConn // to containerd's socket
	Images cri.ImageServiceClient

	streams atomic.Uint64
}

// Options of a load.
type Options struct {
	Pin bool // keep the images when the node agent clears its disk
}

// LoadFile loads an archive from disk and returns the images' names once the
// CRI knows them.
func (l *Loader) LoadFile(ctx context.Context, file string, o Options) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer f.Close()
	base, _, _ := strings.Cut(strings.ToLower(filepath.Base(file)), ".")
	names, err := l.Load(ctx, f, "docker.io/library/"+base, o)
	if err != nil {
		return nil, fmt.Errorf("load image archive %s: %w", file, err)
	}
	return names, nil
}

// maxTransfers bounds the tries of a transfer whose byte stream containerd has
// forgotten: its garbage collector, which also runs just after its start, knows
// streams that are a moment old as nobody's.
const maxTransfers = 5

// Load is LoadFile for an archive that is not a file. Images without a full
// name are named after prefix.
func (l *Loader) Load(ctx context.Context, r io.ReadSeeker, prefix string, o Options) ([]string, error) {
	names, err := Names(r, prefix)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		err := l.transfer(ctx, r, prefix, o)
		if err == nil {
			break
		}
		if status.Code(err) != codes.NotFound || try == maxTransfers {
			return nil, err
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the archive again: %w", err)
		}
	}
	for _, name := range names {
		if err := l.awaitCRI(ctx, name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// LoadPause loads the pause image if containerd does not have it yet.
func (l *Loader) LoadPause(ctx context.Context) error {
	if has, err := l.Has(ctx, Pause); has || err != nil {
		return err
	}
	data, err := PauseArchive()
	if err != nil {
		return err
	}
	_, err = l.Load(ctx, strings.NewReader(string(data)), Pause, Options{Pin: true})
	return err
}

// Has reports whether the CRI knows an image.
func (l *Loader) Has(ctx context.Context, name string) (bool, error) {
	resp, err := l.Images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", name, err)
	}
	return resp.Image != nil, nil
}

// transfer has containerd import, unpack and name what r holds.
func (l *Loader) transfer(ctx context.Context, r io.Reader, prefix string, o Options) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "containerd-namespace", "k8s.io"))
	defer cancel()
	id := fmt.Sprintf("skiff-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), l.streams.Add(1))
	sent, err := l.send(ctx, cancel, id, r)
	if err != nil {
		return fmt.Errorf("send archive: %w", err)
	}
	store := &transfertypes.ImageStore{
		ExtraReferences: []*transfertypes.ImageReference{{
			Name: prefix, IsPrefix: true, AllowOverwrite: true, AddDigest: true, SkipNamedDigest: true,
		}},
		Unpacks: []*transfertypes.UnpackConfiguration{{
			Platform: &types.Platform{OS: "linux", Architecture: runtime.GOARCH}, Snapshotter: "overlayfs",
		}},
	}
	if o.Pin {
		store.Labels = map[string]string{"io.cri-containerd.pinned": "pinned"}
	}
	source, err := pack(&transfertypes.ImageImportStream{Stream: id})
	if err != nil {
		return err
	}
	destination, err := pack(store)
	if err != nil {
		return err
	}
	_, err = transfer.NewTransferClient(l.Conn).Transfer(ctx, &transfer.TransferRequest{Source: source, Destination: destination})
	if err != nil {
		cancel()
		if serr := <-sent; serr != nil && !errors.Is(serr, context.Canceled) && !errors.Is(serr, io.EOF) {
			return fmt.Errorf("send archive: %w", serr)
		}
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// send opens a byte stream under an id and feeds it, in the background, as
// containerd grants room. The channel gets the outcome; what cannot be read
// cancels the import, which would wait for the rest.
func (l *Loader) send(ctx context.Context, cancel func(), id string, r io.Reader) (<-chan error, error) {
	stream, err := streaming.NewStreamingClient(l.Conn).Stream(ctx)
	if err != nil {
		return nil, err
	}
	first, err := pack(&streaming.StreamInit{ID: id})
	if err != nil {
		return nil, err
	}
	if err := stream.Send(first); err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil { // registered: the id can be used
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := feed(stream, r)
		done <- err
		if err != nil {
			cancel()
		}
	}()
	return done, nil
}

func feed(stream streaming.Streaming_StreamClient, r io.Reader) error {
	buf := make([]byte, 32<<10)
	room := 0
	for {
		for room <= 0 {
			var w transfertypes.WindowUpdate
			msg, err := stream.Recv()
			if err != nil {
				return err
			}
			if err := proto.Unmarshal(msg.Value, &w); err != nil {
				return err
			}
			room += int(w.Update)
		}
		n, err := r.Read(buf[:min(len(buf), room)])
		room -= n
		if n > 0 {
			msg, perr := pack(&transfertypes.Data{Data: buf[:n]})
			if perr != nil {
				return perr
			}
			if serr := stream.Send(msg); serr != nil {
				return serr
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.CloseSend()
		}
		if err != nil {
			return err
		}
	}
}

// pack names the type as containerd does, without a host in the address.
func pack(m proto.Message) (*anypb.Any, error) {
	value, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return &anypb.Any{TypeUrl: string(m.ProtoReflect().Descriptor().FullName()), Value: value}, nil
}

// awaitCRI waits until the CRI, which follows containerd's images by events of
// its own, has the image: about a millisecond.
func (l *Loader) awaitCRI(ctx context.Context, name string) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		if has, err := l.Has(ctx, name); has || err != nil {
			return err
		}
		pause.Reset(time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the CRI to see image %s: %w", name, context.Cause(ctx))
		}
	}
}
