package skifftest

import (
	"strings"
	"time"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/view"
)

// Trace is what led to an object, from the requests of the test or an operator to
// its last write. kind is any name of it, as "pod"; namespace is empty for what has
// none.
func (c *Cluster) Trace(kind, namespace, name string) cause.Trace {
	c.t.Helper()
	trace, err := c.world.API.Trace(c.t.Context(), world.Admin(), kind, view.Key{Namespace: namespace, Name: name})
	if err != nil {
		c.t.Fatalf("trace %s/%s: %v", kind, name, err)
	}
	return trace
}

// TraceText is Trace as "skiff trace" prints it, with times in UTC.
func (c *Cluster) TraceText(kind, namespace, name string) string {
	c.t.Helper()
	var b strings.Builder
	trace := c.Trace(kind, namespace, name)
	trace.Print(&b, time.UTC)
	return b.String()
}
