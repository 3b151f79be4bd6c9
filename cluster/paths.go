// Package cluster puts the roles together: it runs the control plane and the
// node as one process, and starts, stops and inspects clusters on this machine.
package cluster

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
)

// DefaultName is the cluster that commands mean when none is named.
const DefaultName = "default"

// Paths are the files of one cluster on this machine. All of them lie in one
// directory, so that removing it removes the cluster.
type Paths struct{ Data string }

// DefaultPaths are the paths of a cluster by its name; "" is the default one.
func DefaultPaths(name string) Paths {
	return Paths{Data: filepath.Join("/var/lib/skiff", cmp.Or(name, DefaultName))}
}

var validName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$`)

// ValidateName says whether a cluster may be called name.
func ValidateName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("cluster name %q: use at most 20 lower-case letters, digits and dashes, a letter first, such as \"dev-2\"", name)
	}
	return nil
}

// Etcd is the store's directory.
func (p Paths) Etcd() string { return filepath.Join(p.Data, "etcd") }

// PKI holds authorities, certificates and keys.
func (p Paths) PKI() string { return filepath.Join(p.Data, "pki") }

// EncryptionKeys are what secrets in the store are encrypted with, as upstream's
// EncryptionConfiguration. A backup of the store is worthless without them.
func (p Paths) EncryptionKeys() string { return filepath.Join(p.PKI(), "encryption.yaml") }

// ServerID tells this server from others on the same store.
func (p Paths) ServerID() string { return filepath.Join(p.Data, "server-id") }

// Kubeconfig is the administrator's.
func (p Paths) Kubeconfig() string { return filepath.Join(p.Data, "admin.kubeconfig") }

// Node is the node agent's directory: pods' volumes and logs.
func (p Paths) Node() string { return filepath.Join(p.Data, "node") }

// LocalVolumes holds the volumes of the built-in class of storage.
func (p Paths) LocalVolumes() string { return filepath.Join(p.Data, "volumes") }

// Containerd is the container engine's directory.
func (p Paths) Containerd() string { return filepath.Join(p.Data, "containerd") }

// Lock is held by the process that runs the cluster.
func (p Paths) Lock() string { return filepath.Join(p.Data, "lock") }

// Log is what the background service prints.
func (p Paths) Log() string { return filepath.Join(p.Data, "server.log") }

// SupervisorPID and SupervisorState are the background supervisor's.
func (p Paths) SupervisorPID() string { return filepath.Join(p.Data, "supervise.pid") }

// SupervisorState is written by the supervisor at every start and end.
func (p Paths) SupervisorState() string { return p.SupervisorPID() + ".state" }

// Settings is what the cluster was started with, so that commands need only its
// name.
func (p Paths) Settings() string { return filepath.Join(p.Data, "cluster.json") }

// Nodes holds a directory, itself laid out by Paths, for each node that lives in a
// network namespace of this machine.
func (p Paths) Nodes() string { return filepath.Join(p.Data, "nodes") }

// Agent is how a node that lives in a network namespace joins.
func (p Paths) Agent() string { return filepath.Join(p.Data, "agent.json") }

// JoinToken lets other machines join.
func (p Paths) JoinToken() string { return filepath.Join(p.Data, "join.token") }
