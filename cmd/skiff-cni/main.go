// Command skiff-cni is the one CNI program of a Skiff node (CNI specification
// 1.0 and 1.1): a bridge, a veth pair per sandbox, addresses from the node's
// ranges. Containerd runs it once per sandbox, so what counts is how fast it
// starts: it links no library beyond the standard one's small packages.
//
// Masquerading and host ports are not its business: the service proxy writes
// them from the API's objects, for all pods in one table.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lease"
)

// Error codes of the specification; from 100 on they are the program's own.
const (
	codeVersion     = 1
	codeEnvironment = 4
	codeIO          = 5
	codeDecode      = 6
	codeConfig      = 7
	codeTryLater    = 11
	codeUnavailable = 50
	codeFailed      = 100
)

func versions() []string { return []string{"1.0.0", "1.1.0"} }

// request is everything a run is asked with.
type request struct {
	command, netns string
	owner          lease.Owner
	config         config
}

type config struct {
	Version string `json:"cniVersion"`
	Name    string `json:"name"`
	network.Config
	Valid []struct {
		Container string `json:"containerID"`
		Interface string `json:"ifname"`
	} `json:"cni.dev/valid-attachments"`
}

// failure is an error with a code of the specification.
type failure struct {
	code int
	msg  string
	err  error
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v", f.msg, f.err) }
func (f *failure) Unwrap() error { return f.err }

func main() {
	runtime.LockOSThread() // the thread enters the sandbox's namespace and ends there
	debug.SetGCPercent(-1) // a run makes less garbage than one collection costs
	r, err := read(os.Stdin, os.Getenv)
	if err == nil {
		err = run(r, os.Stdout)
	}
	if err != nil {
		report(os.Stdout, r.config.Version, err)
		os.Exit(1)
	}
}

// read takes the request from the environment and standard input.
func read(stdin io.Reader, env func(string) string) (request, error) {
	r := request{
		command: env("CNI_COMMAND"), netns: env("CNI_NETNS"),
		owner: lease.Owner{Container: env("CNI_CONTAINERID"), Interface: env("CNI_IFNAME")},
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return r, &failure{codeIO, "read configuration", err}
	}
	if err := json.Unmarshal(data, &r.config); err != nil {
		return r, &failure{codeDecode, "decode configuration", err}
	}
	if r.command == "VERSION" {
		return r, nil
	}
	if !slices.Contains(versions(), r.config.Version) {
		return r, &failure{codeVersion, "cniVersion", fmt.Errorf("%q is not among %s; use one of them", r.config.Version, strings.Join(versions(), ", "))}
	}
	if err := r.config.Validate(); err != nil {
		return r, &failure{codeConfig, "invalid configuration", err}
	}
	return r, r.checkEnvironment()
}

func (r request) checkEnvironment() error {
	var missing []string
	if r.command == "ADD" || r.command == "DEL" || r.command == "CHECK" {
		if r.owner.Container == "" {
			missing = append(missing, "CNI_CONTAINERID")
		}
		if r.owner.Interface == "" {
			missing = append(missing, "CNI_IFNAME")
		}
		if r.netns == "" && r.command != "DEL" {
			missing = append(missing, "CNI_NETNS")
		}
	}
	if len(missing) > 0 {
		return &failure{codeEnvironment, "missing environment", fmt.Errorf("%s; the container runtime has to set them", strings.Join(missing, ", "))}
	}
	if strings.ContainsAny(r.owner.Container+r.owner.Interface, " \t\n/") {
		return &failure{codeEnvironment, "environment", fmt.Errorf("CNI_CONTAINERID %q, CNI_IFNAME %q: spaces and slashes are not allowed", r.owner.Container, r.owner.Interface)}
	}
	return nil
}

func run(r request, out io.Writer) error {
	switch r.command {
	case "ADD":
		res, err := add(r)
		if err != nil {
			return err
		}
		return answer(out, res)
	case "DEL":
		return del(r)
	case "CHECK":
		return check(r)
	case "GC":
		return collect(r)
	case "STATUS":
		return status(r)
	case "VERSION":
		return answer(out, map[string]any{"cniVersion": "1.1.0", "supportedVersions": versions()})
	}
	return &failure{codeEnvironment, "CNI_COMMAND", fmt.Errorf("%q is not ADD, DEL, CHECK, GC, STATUS or VERSION", r.command)}
}

func answer(out io.Writer, v any) error {
	if err := json.NewEncoder(out).Encode(v); err != nil {
		return &failure{codeIO, "write answer", err}
	}
	return nil
}

// report writes an error the way the specification wants it.
func report(out io.Writer, version string, err error) {
	f := &failure{code: codeFailed, msg: "skiff-cni", err: err}
	errors.As(err, &f)
	if full := new(lease.FullError); errors.As(err, &full) || errors.Is(err, syscall.ENOBUFS) {
		f = &failure{codeTryLater, f.msg, f.err}
	}
	if version == "" {
		version = "1.0.0"
	}
	_ = answer(out, map[string]any{"cniVersion": version, "code": f.code, "msg": f.msg, "details": f.err.Error()})
}
