package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// memo makes a value for each key, once. Finding one again takes no lock.
type memo[K comparable, V any] struct {
	make  func(K) V
	known atomic.Pointer[map[K]V] // replaced, never changed
	mu    sync.Mutex              // of who adds
}

func (m *memo[K, V]) get(key K) V {
	if known := m.known.Load(); known != nil {
		if v, ok := (*known)[key]; ok {
			return v
		}
	}
	return m.add(key)
}

func (m *memo[K, V]) add(key K) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[K]V{}
	if known := m.known.Load(); known != nil {
		if v, ok := (*known)[key]; ok {
			return v
		}
		next = maps.Clone(*known)
	}
	v := m.make(key)
	next[key] = v
	m.known.Store(&next)
	return v
}
