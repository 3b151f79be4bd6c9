package legacytoken_test

import (
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/legacytoken"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{legacytoken.Tracking(), legacytoken.Cleaner()}
	})
}
