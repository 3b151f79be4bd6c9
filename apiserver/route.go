package apiserver

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// checkRoute refuses what is not in the media types that a path is registered
// with upstream, before its verb sees it, in words of their own. Only the bare
// types count here; what their parameters ask for is negotiated later.
func (c *call) checkRoute(r *http.Request) error {
	if c.part == nil && c.target.subresource != "" || isConnection(c.target.subresource) {
		return nil // what is behind a connection has media types of its own
	}
	if c.verb == "patch" && !slices.Contains(patchTypes, bareType(r.Header.Get("Content-Type"))) {
		return plainStatus(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
	}
	if c.target.name == "" && r.Method == http.MethodGet {
		return routable(r, listTypes)
	}
	return routable(r, mediaTypes)
}

// routable refuses an Accept without any type that the path has.
func routable(r *http.Request, have []string) error {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		if media := bareType(part); media == "*/*" || slices.Contains(have, media) {
			return nil
		}
	}
	return plainStatus(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(have, ", "))
}

// bareType is a media type without its parameters.
func bareType(text string) string {
	media, _, _ := strings.Cut(text, ";")
	return strings.TrimSpace(media)
}

func plainStatus(code int, message string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
}
