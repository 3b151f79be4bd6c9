package apiserver

import (
	cryptorand "crypto/rand"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
)

// random is where the server's own choices come from.
type random struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

// newRandom returns one that nobody can foretell, unless there is a seed.
func newRandom(seed *[32]byte) *random {
	if seed == nil {
		seed = new([32]byte)
		cryptorand.Read(seed[:]) // never fails
	}
	return &random{source: rand.NewChaCha8(*seed)}
}

// fork returns a generator of its own, for whoever has a lock of his own.
func (r *random) fork() *rand.Rand {
	r.mu.Lock()
	defer r.mu.Unlock()
	return rand.New(rand.NewPCG(r.source.Uint64(), r.source.Uint64()))
}

// uid returns a random UUID (RFC 9562, version 4).
func (r *random) uid() types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var id uuid.UUID
	r.source.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return types.UID(id.String())
}

// suffix returns the characters that make a name unique.
func (r *random) suffix() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	letters := make([]byte, generatedSuffix)
	for i := range letters {
		letters[i] = resource.NameLetters[r.source.Uint64()%uint64(len(resource.NameLetters))]
	}
	return string(letters)
}
