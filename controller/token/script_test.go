package token_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/token"
)

func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		sign := func(account *corev1.ServiceAccount, secret string) (string, error) {
			return "token of " + account.Name + " in " + secret, nil
		}
		return []controller.Controller{token.Accounts(sign, []byte("authority")), token.Cleaner(), token.Signer()}
	})
}
