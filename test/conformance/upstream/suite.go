//go:build suite

// Package upstream names for "go mod tidy" the package whose tests are the suite.
package upstream

import _ "k8s.io/kubernetes/test/e2e"
