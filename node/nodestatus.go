package node

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The most images that a Node names, and the most names of each, as upstream.
const (
	maxImages     = 50
	maxImageNames = 5
)

// imageNames returns the images on the node, or nil where the runtime does not say.
func (a *Agent) imageNames(ctx context.Context) []corev1.ContainerImage {
	ctx, cancel := context.WithTimeout(ctx, retryMost)
	defer cancel()
	list, err := a.runtime.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		a.log.Debug("the node's images are not known", "err", err)
		return nil
	}
	return ImagesOf(list.Images)
}

// ImagesOf returns what a Node tells of images: the biggest, each by its digests
// and then its tags.
func ImagesOf(images []*runtimeapi.Image) []corev1.ContainerImage {
	var out []corev1.ContainerImage
	for _, image := range images {
		names := slices.Concat(image.RepoDigests, image.RepoTags)
		if len(names) == 0 {
			continue
		}
		out = append(out, corev1.ContainerImage{Names: names[:min(len(names), maxImageNames)], SizeBytes: int64(image.Size)})
	}
	slices.SortFunc(out, func(x, y corev1.ContainerImage) int {
		return cmp.Or(cmp.Compare(y.SizeBytes, x.SizeBytes), strings.Compare(x.Names[0], y.Names[0]))
	})
	return out[:min(len(out), maxImages)]
}

// handlers returns what the runtime can run pods by, for RuntimeClasses to name.
func (a *Agent) handlers() []corev1.NodeRuntimeHandler {
	ctx, cancel := context.WithTimeout(a.ctx, retryMost)
	defer cancel()
	status, err := a.runtime.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		a.log.Debug("the runtime's handlers are not known", "err", err)
		return nil
	}
	var out []corev1.NodeRuntimeHandler
	for _, h := range status.RuntimeHandlers {
		recursive, users := h.Features.GetRecursiveReadOnlyMounts(), h.Features.GetUserNamespaces()
		out = append(out, corev1.NodeRuntimeHandler{
			Name: h.Name, Features: &corev1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: &recursive, UserNamespaces: &users},
		})
	}
	slices.SortFunc(out, func(x, y corev1.NodeRuntimeHandler) int { return strings.Compare(x.Name, y.Name) })
	return out
}
