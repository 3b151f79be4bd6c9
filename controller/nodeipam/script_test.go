package nodeipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/nodeipam"
)

func prefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		list = append(list, netip.MustParsePrefix(word))
	}
	return list
}

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{nodeipam.Controller(nodeipam.Config{
			Ranges: []nodeipam.Range{{All: netip.MustParsePrefix("10.244.0.0/21"), NodeBits: 24}, {All: netip.MustParsePrefix("fd00:0:0:ffff::/60"), NodeBits: 64}},
			Never:  prefixes("10.244.6.0/23"), Kept: prefixes("10.244.0.0/24"),
		})}
	})
}
