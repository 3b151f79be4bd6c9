package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
)

// Reviewer is a client that can ask the server who somebody is and what they may
// do. The answer is the question with its status, as of a TokenReview.
type Reviewer interface {
	Review(ctx context.Context, kind schema.GroupVersionKind, question resource.Object) (resource.Object, error)
}

// Review implements Reviewer.
func (r *Remote) Review(ctx context.Context, kind schema.GroupVersionKind, question resource.Object) (resource.Object, error) {
	body, err := resource.MarshalProtobuf(question)
	if err == nil {
		body, err = resource.Envelope(kind, body)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind.Kind, err)
	}
	path := "/apis/" + kind.Group + "/" + kind.Version + "/" + strings.ToLower(kind.Kind) + "s"
	res, err := r.request(ctx, http.MethodPost, path, protobufMedia, protobufMedia, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", kind.Kind, err)
	}
	unknown, err := resource.OpenEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Kind, err)
	}
	return decodeInto(question.DeepCopyObject().(resource.Object), unknown)
}
