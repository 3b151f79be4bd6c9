package sim

import (
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/watchcache"
)

// lag is the components' own copy of the cluster. It follows the server's as a
// watch over a network does: late, several changes at once, or anew.
type lag struct {
	server *watchcache.Cache
	cache  *watchcache.Cache
	reader *watchcache.Reader
	held   []watchcache.Change
	latest int64 // revision that held leads to
}

func newLag(server *watchcache.Cache) *lag {
	return &lag{server: server, cache: watchcache.New(0)}
}

// reload reads everything as it is.
func (l *lag) reload() {
	if l.reader != nil {
		l.reader.Close()
	}
	v := l.server.View()
	l.held, l.latest = nil, v.Revision()
	l.reader = l.server.Read(v.Revision(), resource.All()...)
	l.cache.Reset(v)
}

// collect takes over what has changed at the server, without showing it.
func (l *lag) collect() {
	changes, v, err := l.reader.Poll()
	if err != nil {
		l.reload()
		return
	}
	l.held, l.latest = append(l.held, changes...), v.Revision()
}

// deliver shows at most that many of the changes, all at once.
func (l *lag) deliver(most int) {
	l.collect()
	n := min(most, len(l.held))
	revision := l.latest
	if n < len(l.held) {
		revision = l.held[n].Revision - 1
	}
	if revision <= l.cache.View().Revision() {
		return
	}
	updates := make([]watchcache.Update, n)
	for i, c := range l.held[:n] {
		e := c.Entry()
		updates[i] = watchcache.Update{Info: e.Info, Key: e.Key, Entry: c.New, Revision: c.Revision}
	}
	l.held = l.held[n:]
	l.cache.Apply(updates, revision)
}
