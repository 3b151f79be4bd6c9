package cronjob_test

import (
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/cronjob"
	"github.com/skiff-sh/skiff/controller/job"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{cronjob.Controller(), job.Controller(), job.Orphans()}
	})
}
