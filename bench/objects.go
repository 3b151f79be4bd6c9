package main

import (
	"bytes"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// protobufObject is an object of the API that has a protobuf form.
type protobufObject interface {
	Marshal() ([]byte, error)
	GetObjectKind() schema.ObjectKind
}

// encode puts an object into the API's protobuf envelope.
func encode(gvk schema.GroupVersionKind, obj protobufObject) []byte {
	raw, err := obj.Marshal()
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", gvk.Kind, err)) // objects of our own making
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	data, err := unknown.Marshal()
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", gvk.Kind, err))
	}
	return append([]byte("k8s\x00"), data...)
}

func core(kind string) schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind(kind) }

// template is an encoded object whose name ends with a number of 8 digits, so
// that another one is made by writing digits.
type template struct {
	data []byte
	at   []int // where the digits stand
}

const digits = "00000000"

func newTemplate(data []byte) template {
	t := template{data: data}
	for from := 0; ; {
		i := bytes.Index(data[from:], []byte("-"+digits))
		if i < 0 {
			return t
		}
		t.at = append(t.at, from+i+1)
		from += i + 1 + len(digits)
	}
}

// number appends the object with number i to buf.
func (t template) number(buf []byte, i int) []byte {
	begin := len(buf)
	buf = append(buf, t.data...)
	text := fmt.Sprintf("%08d", i)
	for _, at := range t.at {
		copy(buf[begin+at:], text)
	}
	return buf
}

// objectBytes is the size of a ConfigMap's data: with its metadata the object
// has 1 KiB.
const objectBytes = 900

func configMap(namespace string, labels map[string]string) template {
	return newTemplate(encode(core("ConfigMap"), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cm-" + digits, Labels: labels},
		Data:       map[string]string{"data": strings.Repeat("0123456789", objectBytes/10)},
	}))
}

// smallConfigMap has no data.
func smallConfigMap(namespace string) template {
	return newTemplate(encode(core("ConfigMap"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cm-" + digits}}))
}

func namespace(name string) []byte {
	return encode(core("Namespace"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}
