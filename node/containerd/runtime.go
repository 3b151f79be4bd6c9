package containerd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/supervise"
)

// Runtime is a running, supervised containerd. Containers do not depend on it:
// they go on when it, or we, are killed.
type Runtime struct {
	Containers cri.RuntimeServiceClient
	Images     cri.ImageServiceClient
	Conn       *grpc.ClientConn // to the same socket, for containerd's own API
	Socket     string

	process *supervise.Process
}

// Start writes the configuration and starts containerd, or adopts the one that
// an earlier Start left behind if program and configuration are the same. It
// returns when the CRI answers, or when ctx ends.
func Start(ctx context.Context, cfg Config, logger *slog.Logger) (*Runtime, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("containerd's configuration: %w", err)
	}
	host, err := DetectHost()
	if err != nil {
		return nil, err
	}
	text, err := cfg.render(host)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{cfg.Root, cfg.State, cfg.CNIConf} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("make containerd's directories: %w", err)
		}
	}
	if err := os.WriteFile(cfg.file(), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write containerd's configuration: %w", err)
	}
	key, err := cfg.key(text)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(cfg.Bin, "containerd")
	process, err := supervise.Start(supervise.Config{
		Argv:   append(cfg.RunIn[:len(cfg.RunIn):len(cfg.RunIn)], program, "--config", cfg.file()),
		Env:    environment(cfg.Bin),
		Record: cfg.record(), Key: key,
		Log: cfg.Log, LogMax: 10 << 20,
		Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	r, err := connect(ctx, cfg.Socket())
	if err != nil {
		process.Abandon()
		return nil, fmt.Errorf("wait for containerd (its log: %s): %w", cfg.Log, err)
	}
	r.process = process
	return r, nil
}

// key changes when containerd has to be replaced: another configuration or
// another program. A rebuilt program has another time or size.
func (c Config) key(text string) (string, error) {
	info, err := os.Stat(filepath.Join(c.Bin, "containerd"))
	if err != nil {
		return "", fmt.Errorf("find containerd (make runtime builds it): %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d %d\n%q", text, info.Size(), info.ModTime().UnixNano(), c.RunIn))
	return fmt.Sprintf("%x", sum[:8]), nil
}

// environment: containerd finds its shim, and CNI programs their tools, by
// PATH. Pulling images honours the proxy settings.
func environment(bin string) []string {
	env := []string{"PATH=" + bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// connect returns CRI clients of the containerd that listens on socket, once
// it answers. The caller closes Conn.
func connect(ctx context.Context, socket string) (*Runtime, error) {
	if err := awaitSocket(ctx, socket); err != nil {
		return nil, err
	}
	conn, err := dial(socket)
	if err != nil {
		return nil, err
	}
	r := &Runtime{
		Containers: cri.NewRuntimeServiceClient(conn), Images: cri.NewImageServiceClient(conn),
		Conn: conn, Socket: socket,
	}
	if err := r.WaitReady(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

func dial(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///containerd",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}),
		// A restarted containerd is back within 100 ms; gRPC would first try after a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)),
		grpc.WithSharedWriteBuffer(true),
	)
	if err != nil {
		return nil, fmt.Errorf("dial containerd: %w", err)
	}
	return conn, nil
}

// awaitSocket waits until someone accepts connections on socket. The kernel
// tells when a file appears in its directory.
func awaitSocket(ctx context.Context, socket string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch for containerd's socket: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(socket), unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ATTRIB); err != nil {
		return fmt.Errorf("watch for containerd's socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		// Refused: a socket left by a dead containerd, replaced when the new one
		// binds; or the instant between its bind and its listen.
		var wake time.Time
		if errors.Is(err, unix.ECONNREFUSED) {
			wake = time.Now().Add(5 * time.Millisecond)
		}
		events.SetReadDeadline(wake)
		if ctx.Err() != nil { // asked after the line above, which undoes stop's
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		_, _ = events.Read(buf)
	}
}

// WaitReady asks for the version until the CRI answers: after a (re)start its
// state has to be recovered first. There is no event for that; it follows the
// socket by a few milliseconds.
func (r *Runtime) WaitReady(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for {
		_, err := r.Containers.Version(ctx, &cri.VersionRequest{})
		if err == nil {
			return nil
		}
		pause.Reset(2 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// Process tells how containerd is: its pid, restarts, last exit.
func (r *Runtime) Process() supervise.Record { return r.process.Record() }

// Adopted reports whether containerd was running before Start.
func (r *Runtime) Adopted() bool { return r.process.Adopted() }

// Close lets go of containerd and leaves it running, to be adopted later.
func (r *Runtime) Close() error {
	r.process.Abandon()
	return r.Conn.Close()
}

// Stop ends containerd. Containers go on; only their sandboxes' removal ends them.
func (r *Runtime) Stop(ctx context.Context) error {
	r.Conn.Close()
	return r.process.Stop(ctx)
}
