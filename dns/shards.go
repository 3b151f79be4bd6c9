package dns

import "maps"

// shardCount makes a change in 5,000 entries copy about 20 of them.
const shardCount = 256

// shards is an immutable map: with and without copy one shard and share the
// others. The zero value is empty.
type shards[V any] struct {
	m *[shardCount]map[string]V
}

func shardOf(key string) uint8 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return uint8(h ^ h>>8 ^ h>>16 ^ h>>24)
}

func (s shards[V]) get(key string) (V, bool) {
	if s.m == nil {
		var zero V
		return zero, false
	}
	v, ok := s.m[shardOf(key)][key]
	return v, ok
}

func (s shards[V]) copyShard(key string) (shards[V], map[string]V) {
	var n [shardCount]map[string]V
	if s.m != nil {
		n = *s.m
	}
	i := shardOf(key)
	if n[i] == nil {
		n[i] = map[string]V{}
	} else {
		n[i] = maps.Clone(n[i])
	}
	return shards[V]{&n}, n[i]
}

func (s shards[V]) with(key string, v V) shards[V] {
	n, m := s.copyShard(key)
	m[key] = v
	return n
}

func (s shards[V]) without(key string) shards[V] {
	if _, ok := s.get(key); !ok {
		return s
	}
	n, m := s.copyShard(key)
	delete(m, key)
	return n
}
