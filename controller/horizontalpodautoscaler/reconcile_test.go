package horizontalpodautoscaler_test

import (
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/horizontalpodautoscaler"
	"github.com/skiff-sh/skiff/resource"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{horizontalpodautoscaler.Controller(resource.All(), horizontalpodautoscaler.NoMetrics{})}
	})
}
