// Package kubectl runs upstream's own kubectl, built from its source, against a
// cluster of this repository's skiff.
package kubectl

import _ "github.com/creack/pty"
