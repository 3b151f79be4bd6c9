package namespace_test

import (
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/namespace"
	"github.com/skiff-sh/skiff/controller/rootca"
	"github.com/skiff-sh/skiff/controller/serviceaccount"
	"github.com/skiff-sh/skiff/resource"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{namespace.Controller(resource.All()), serviceaccount.Controller(), rootca.Controller([]byte("PEM"))}
	})
}
