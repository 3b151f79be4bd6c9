package client

import (
	"strconv"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/resource"
)

// RefTo names the last change of an object, for Op.After.
func RefTo(kind *resource.Info, obj resource.Object) cause.Ref {
	revision, _ := strconv.ParseInt(obj.GetResourceVersion(), 10, 64) // not stored yet: 0, no change
	return cause.Ref{Resource: kind.GR().String(), Namespace: obj.GetNamespace(), Name: obj.GetName(), Revision: revision}
}
