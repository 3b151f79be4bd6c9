package resource

import "k8s.io/apimachinery/pkg/api/validation/path"

// pathSegmentName allows what fits into a URL's path: roles are called
// "system:node".
func pathSegmentName(name string, prefix bool) []string {
	return path.ValidatePathSegmentName(name, prefix)
}
