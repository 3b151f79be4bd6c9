package apiserver

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The media types that a path is registered with upstream. A request for none of
// them is refused before its verb sees it, in words of their own.
var (
	objectTypes = []string{typeJSON, typeYAML, typeProtobuf}
	streamTypes = []string{typeJSON + ";stream=watch", typeProtobuf + ";stream=watch"}
)

// checkRoute refuses what is not in the media types of the path. Only the bare
// types count here; what their parameters ask for is negotiated later.
func (c *call) checkRoute(r *http.Request) error {
	if c.part == nil && c.target.subresource != "" {
		return nil // connections and the like
	}
	if c.verb == "patch" && !slices.Contains(patchTypes, bareType(r.Header.Get("Content-Type"))) {
		return plainStatus(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
	}
	accept := r.Header.Get("Accept")
	if accept == "" {
		return nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		if media := bareType(part); media == "*/*" || slices.Contains(objectTypes, media) {
			return nil
		}
	}
	offered := objectTypes
	if c.target.name == "" && r.Method == http.MethodGet {
		offered = slices.Concat(objectTypes, streamTypes)
	}
	return plainStatus(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(offered, ", "))
}

// bareType is a media type without its parameters.
func bareType(text string) string {
	media, _, _ := strings.Cut(text, ";")
	return strings.TrimSpace(media)
}

func plainStatus(code int, message string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
}
