package localvolume_test

import (
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/localvolume"
	"github.com/skiff-sh/skiff/controller/persistentvolume"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{localvolume.Claims(), localvolume.Volumes(), persistentvolume.Claims(), persistentvolume.Volumes()}
	})
}
