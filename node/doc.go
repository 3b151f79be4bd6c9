// Package node is the node agent: it makes the pods that are bound to its node
// run, and reports how they are. Step decides what to do for one pod and is
// pure, as are the functions that compute statuses, admission, environments and
// runtime configurations; Agent is the shell around them. The agent remembers
// nothing on disk: after a restart it reads the runtime.
package node
