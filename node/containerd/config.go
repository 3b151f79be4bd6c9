// Package containerd runs a node's containerd: it writes its configuration,
// starts or adopts the daemon, and hands out CRI clients.
package containerd

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

// Config is what a node's containerd is given. Paths are absolute.
type Config struct {
	Root  string // images, snapshots, metadata: kept over restarts
	State string // sockets, mounts, our process record: gone after a reboot
	Bin   string // directory of containerd, containerd-shim-runc-v2 and runc
	Log   string // containerd's output; empty discards it

	CNIBin  string // directory of CNI programs
	CNIConf string // directory of CNI configuration

	PauseImage string // reference of the image every sandbox runs
	CertsDir   string // registry hosts (hosts.toml per registry); empty for none
	LogLevel   string // containerd's; empty means warn

	// RunIn is put before containerd's command line, for a node that lives in a
	// network namespace of its own: {"/bin/ip", "netns", "exec", "node-1"}.
	RunIn []string
}

// Host is what the machine allows and demands.
type Host struct {
	LowersOOMScores bool // whether we may (CAP_SYS_RESOURCE)
}

// Unix socket names hold 107 bytes. Containerd appends 65 to its shims' directory.
const (
	maxSocketName = 107
	maxShimDir    = 42
)

// Socket is where containerd listens, for the CRI and its own API.
func (c Config) Socket() string { return filepath.Join(c.State, "containerd.sock") }

func (c Config) ttrpcSocket() string { return c.Socket() + ".ttrpc" }
func (c Config) shimDir() string     { return filepath.Join(c.State, "s") }
func (c Config) file() string        { return filepath.Join(c.State, "containerd.toml") }
func (c Config) record() string      { return filepath.Join(c.State, "containerd.process") }

// Validate reports every problem of c.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct{ name, path string }{
		{"Root", c.Root}, {"State", c.State}, {"Bin", c.Bin}, {"CNIBin", c.CNIBin}, {"CNIConf", c.CNIConf},
	} {
		if !filepath.IsAbs(f.path) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path; give one", f.name, f.path))
		}
		if strings.ContainsAny(f.path, "'\n") {
			errs = append(errs, fmt.Errorf("%s: %q holds a quote or a newline; choose another directory", f.name, f.path))
		}
	}
	if c.PauseImage == "" {
		errs = append(errs, errors.New("PauseImage: empty; name the image that sandboxes run"))
	}
	if n := len(c.shimDir()); n > maxShimDir {
		errs = append(errs, fmt.Errorf("State: %q is %d bytes too long for the sockets below it; choose a shorter directory", c.State, n-maxShimDir))
	}
	if n := len(c.ttrpcSocket()); n > maxSocketName {
		errs = append(errs, fmt.Errorf("State: %q is %d bytes too long for the sockets in it; choose a shorter directory", c.State, n-maxSocketName))
	}
	return errors.Join(errs...)
}

// render writes the configuration file's text. What is not named keeps
// containerd's default.
func (c Config) render(h Host) (string, error) {
	if c.LogLevel == "" {
		c.LogLevel = "warn"
	}
	var b strings.Builder
	err := fileTemplate().Execute(&b, map[string]any{
		"C": c, "H": h, "Socket": c.Socket(), "TTRPC": c.ttrpcSocket(), "ShimDir": c.shimDir(),
	})
	if err != nil {
		return "", fmt.Errorf("render containerd's configuration: %w", err)
	}
	return b.String(), nil
}

func fileTemplate() *template.Template { return template.Must(template.New("").Parse(fileText)) }

// The intervals: containerd samples the processor use of each container every
// second and walks each snapshot's files every ten, on an idle node too. The
// node agent reads cgroups itself and needs neither; sizes once a minute do for
// ephemeral storage.
const fileText = `# Written by skiff at every start; changes are lost.
version = 4
root = '{{.C.Root}}'
state = '{{.C.State}}'
{{- if .H.LowersOOMScores}}
oom_score = -999
{{- end}}
imports = []

[debug]
  level = '{{.C.LogLevel}}'

[plugins.'io.containerd.server.v1.grpc']
  address = '{{.Socket}}'

[plugins.'io.containerd.server.v1.ttrpc']
  address = '{{.TTRPC}}'

[plugins.'io.containerd.shim.v1.manager']
  socket_dir = '{{.ShimDir}}'

[plugins.'io.containerd.monitor.task.v1.cgroups']
  no_prometheus = true

[plugins.'io.containerd.transfer.v1.local']
  config_path = '{{.C.CertsDir}}'

[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = '127.0.0.1'
  stream_server_port = '0'
  enable_tls_streaming = false

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  stats_collect_period = 60

  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{{.C.PauseImage}}'

  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '{{.C.CertsDir}}'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {{not .H.LowersOOMScores}}
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  netns_mounts_under_state_dir = true
  enable_criu = false
  stats_collect_period = '10m'
  stats_retention_period = '20m'

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['{{.C.CNIBin}}']
    conf_dir = '{{.C.CNIConf}}'
    max_conf_num = 1
    use_internal_loopback = true

  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      runtime_path = '{{.C.Bin}}/containerd-shim-runc-v2'
      disable_pause_image_pull = true

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '{{.C.Bin}}/runc'
        Root = '{{.C.State}}/runc'
        SystemdCgroup = false # pods' groups are made by the agent, also beside systemd's
`
