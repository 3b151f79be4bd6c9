package apiserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

const protobufMedia = "application/vnd.kubernetes.protobuf"

// longLists are the forms in which programs read whole lists.
var longLists = map[string]string{
	"JSON": "application/json", "protobuf": protobufMedia, "Table": "application/json;as=Table;g=meta.k8s.io;v=v1",
	"metadata":             "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
	"metadata in protobuf": protobufMedia + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
	"indented JSON":        "application/json;pretty=1",
}

// reader is a client that has stopped reading: its second write waits.
type reader struct {
	header  http.Header
	stopped func()        // called once it waits
	resume  chan struct{} // closed to let it go on; nil for who reads all the time
	writes  int
	size    int
}

func (r *reader) Header() http.Header { return r.header }
func (r *reader) WriteHeader(int)     {}
func (r *reader) Write(data []byte) (int, error) {
	if r.writes++; r.writes == 2 && r.resume != nil {
		r.stopped()
		<-r.resume
	}
	r.size += len(data)
	return len(data), nil
}

func listRequest(t *testing.T, accept string) *http.Request {
	req := httptest.NewRequestWithContext(t.Context(), "GET", configMaps, nil)
	req.Header.Set("Authorization", "Bearer "+apiservertest.Admin)
	req.Header.Set("Accept", accept)
	return req
}

func manyConfigMaps(t *testing.T, n int) *apiservertest.Cluster {
	c := apiservertest.Start(t)
	var wg sync.WaitGroup
	for part := range 20 {
		wg.Go(func() {
			for i := part; i < n; i += 20 {
				body := fmt.Sprintf(`{"metadata":{"name":"cm-%06d","labels":{"app":"web"}},"data":{"k":%q}}`, i, strings.Repeat("x", 200))
				if a := c.Do("POST", configMaps, body); a.Code != 201 {
					t.Errorf("%d %s", a.Code, a.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	return c
}

// live is what is reachable, in bytes.
func live() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestListsAreNeverInMemory: while many clients are in the middle of a list, what
// the server keeps for each is a buffer and not the list; and making a list
// leaves little garbage, which would make the heap twice as large as what lives
// in it.
func TestListsAreNeverInMemory(t *testing.T) {
	const objects, clients, each = 5000, 40, 300 << 10
	c := manyConfigMaps(t, objects)
	for name, accept := range longLists {
		t.Run(name, func(t *testing.T) {
			whole := &reader{header: http.Header{}}
			c.API.ServeHTTP(whole, listRequest(t, accept)) // encodes each object once, for good
			if whole.size < 3*each || whole.writes < 3 {
				t.Fatalf("the list is written as %d bytes in %d parts: it is made as a whole, or too short to tell", whole.size, whole.writes)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.API.ServeHTTP(&reader{header: http.Header{}}, listRequest(t, accept))
			runtime.ReadMemStats(&after)
			if garbage := after.TotalAlloc - before.TotalAlloc; garbage > uint64(whole.size)/3 {
				t.Errorf("a list of %d bytes takes %d bytes of memory to make", whole.size, garbage)
			}

			idle, resume := live(), make(chan struct{})
			var stopped, ended sync.WaitGroup
			stopped.Add(clients)
			for range clients {
				w := &reader{header: http.Header{}, stopped: stopped.Done, resume: resume}
				ended.Go(func() { c.API.ServeHTTP(w, listRequest(t, accept)) })
			}
			stopped.Wait()
			if grown := int64(live()) - int64(idle); grown > clients*each {
				t.Errorf("%d clients in the middle of a list of %d bytes take %d bytes each", clients, whole.size, grown/clients)
			}
			close(resume)
			ended.Wait()
		})
	}
}
