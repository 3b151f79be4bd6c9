package apiserver_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// TestLargeAnswersAreCompressed: from 128 KiB on, for who accepts it, in every
// form; smaller answers, errors and other clients get them plain.
func TestLargeAnswersAreCompressed(t *testing.T) {
	c := apiservertest.Start(t)
	for i := range 3 {
		body := fmt.Sprintf(`{"metadata":{"name":"big-%d"},"data":{"k":%q}}`, i, strings.Repeat("x", 60<<10))
		if a := c.Do("POST", configMaps, body); a.Code != 201 {
			t.Fatal(string(a.Body))
		}
	}
	for _, accept := range []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		path := configMaps + "?includeObject=Object"
		plain := c.Do("GET", path, "", "Accept: "+accept, "Accept-Encoding: identity")
		packed := c.Do("GET", path, "", "Accept: "+accept, "Accept-Encoding: br, gzip;q=0.5")
		if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" || len(packed.Body) > len(plain.Body)/10 {
			t.Errorf("%s: %d bytes plain, %d with %q", accept, len(plain.Body), len(packed.Body), packed.Header.Get("Content-Encoding"))
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(packed.Body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain.Body) {
			t.Errorf("%s: unpacked it is another answer: %v", accept, err)
		}
	}
	for _, path := range []string{configMaps + "/big-0", configMaps + "/none"} {
		if a := c.Do("GET", path, "", "Accept-Encoding: gzip"); a.Header.Get("Content-Encoding") != "" || len(a.Body) < 50 {
			t.Errorf("%s is answered %d with encoding %q, %d bytes", path, a.Code, a.Header.Get("Content-Encoding"), len(a.Body))
		}
	}
}
