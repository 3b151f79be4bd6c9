package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/skiff-sh/skiff/network/rtnl"
)

// Run is where the clusters of this machine keep what need not outlive a reboot.
const Run = "/run/skiff"

// settings is where the kernel has its settings as files.
const settings = "/proc/sys/"

// Forward lets the kernel route between pods and the world. A bridge that needs
// it must be there already, else a cluster that goes may undo it.
func Forward(c Config) error {
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	return forward(host, c)
}

func forward(host *rtnl.Socket, c Config) error {
	l, err := openLedger(host)
	if err != nil {
		return err
	}
	defer l.close()
	for _, r := range c.PodCIDRs {
		name := "net/ipv4/ip_forward"
		if r.Addr().Is6() {
			name = "net/ipv6/conf/all/forwarding"
		}
		if err := l.set(name, "1"); err != nil {
			return err
		}
	}
	return nil
}

// restore gives kernel settings their old values, unless another pod bridge
// needs them: its cluster restores them then.
func restore(host *rtnl.Socket) error {
	l, err := openLedger(host)
	if err != nil {
		return err
	}
	defer l.close()
	if othersForward(host) {
		return nil
	}
	return l.undo()
}

// ledger holds kernel settings of a network namespace as they were before a
// cluster changed them: each is written down before it is changed. The clusters
// in a namespace share it, since one may change what another, the last to go,
// puts back. It ends with the machine's run, as the settings do, and is locked
// while it is open.
type ledger struct {
	file string
	lock *os.File
}

func openLedger(host *rtnl.Socket) (*ledger, error) {
	namespace, err := host.Namespace()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(Run, 0o755); err != nil {
		return nil, fmt.Errorf("note kernel settings: %w", err)
	}
	lock, err := os.OpenFile(Run, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0) // a lock file would stay behind
	if err != nil {
		return nil, fmt.Errorf("note kernel settings: %w", err)
	}
	if err := flock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock the notes of kernel settings: %w", err)
	}
	return &ledger{filepath.Join(Run, "settings-"+strconv.FormatUint(namespace, 10)), lock}, nil
}

func (l *ledger) close() { l.lock.Close() }

// Forget drops the notes about the calling thread's network namespace, which is
// about to go with all its settings.
func Forget() error {
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	l, err := openLedger(host)
	if err != nil {
		return err
	}
	defer l.close()
	return l.forget()
}

// set changes a setting.
func (l *ledger) set(name, value string) error {
	old, err := os.ReadFile(settings + name)
	if err != nil {
		return fmt.Errorf("read kernel setting: %w", err)
	}
	before := setting{name, strings.TrimSpace(string(old))}
	if before.value == value {
		return nil
	}
	notes := append(dragged(name), before)
	if err := l.note(notes); err != nil {
		return fmt.Errorf("note kernel setting: %w", err)
	}
	if err := os.WriteFile(settings+name, []byte(value), 0); err != nil {
		return fmt.Errorf("change kernel setting: %w", err)
	}
	return nil
}

// dragged are settings that the kernel changes along with one that lets it
// forward, and would not change back to what they are: a machine that refuses
// redirects would take them afterwards.
func dragged(name string) []setting {
	family := strings.Split(name, "/")[1]
	files, err := filepath.Glob(settings + "net/" + family + "/conf/*/forwarding")
	if err != nil {
		return nil // only a malformed pattern is an error
	}
	if family == "ipv4" {
		files = append(files, settings+"net/ipv4/conf/all/accept_redirects")
	}
	var list []setting
	for _, file := range files {
		if strings.HasSuffix(file, "/conf/all/forwarding") {
			continue // the same as what lets the kernel forward: it would drag the others once more
		}
		if data, err := os.ReadFile(file); err == nil { // else its link has just gone
			list = append(list, setting{strings.TrimPrefix(file, settings), strings.TrimSpace(string(data))})
		}
	}
	return list
}

// note appends to the file; what was written is kept before note returns.
func (l *ledger) note(list []setting) error {
	f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, s := range list {
		text.WriteString(s.name + " " + s.value + "\n")
	}
	_, err = f.WriteString(text.String())
	return errors.Join(err, f.Sync(), f.Close())
}

// undo takes all changes back, and may be called again after it was killed.
func (l *ledger) undo() error {
	data, err := os.ReadFile(l.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read notes of kernel settings: %w", err)
	}
	for _, s := range undoing(string(data)) {
		werr := os.WriteFile(settings+s.name, []byte(s.value), 0)
		if werr != nil && !errors.Is(werr, os.ErrNotExist) { // it goes with its link
			err = errors.Join(err, fmt.Errorf("restore kernel setting: %w", werr))
		}
	}
	if err != nil {
		return err
	}
	return l.forget()
}

func (l *ledger) forget() error {
	if err := os.Remove(l.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove notes of kernel settings: %w", err)
	}
	return nil
}

type setting struct{ name, value string }

// undoing are the settings to restore by notes, the last change first: so each
// ends with the oldest value. A last line without its end was cut off before its
// change was made.
func undoing(notes string) []setting {
	var list []setting
	for line := range strings.Lines(notes) {
		line, whole := strings.CutSuffix(line, "\n")
		if name, value, ok := strings.Cut(line, " "); ok && whole {
			list = append(list, setting{name, value})
		}
	}
	slices.Reverse(list)
	return list
}
