// Package nft writes the rulesets of package proxy to the kernel through
// netlink, in atomic batches, without the nft program. It owns one table a
// family, named by its caller, and touches no other.
package nft

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/proxy"
)

// batchBuffer is the send buffer, in bytes: a batch goes out as one message,
// and one of 5,000 services with 10 endpoints each takes about 8 MB.
const batchBuffer = 64 << 20

// elementsPerMessage keeps the element list below netlink's 64 KiB an attribute.
const elementsPerMessage = 400

// affinitySize bounds the remembered clients; beyond it new ones are not remembered.
const affinitySize = 1 << 18

// Writer writes to one table a family. It is not safe for concurrent use.
type Writer struct {
	conn  *nftables.Conn
	table string
	port  uint32 // netlink port of conn: marks our own changes in events
	fams  map[proxy.Family]*table
	ids   uint32 // last set id used in a batch
}

type table struct {
	*nftables.Table
	sets map[string]*nftables.Set
}

// Open connects to the network namespace of the calling thread (or, with
// netns > 0, that of the file descriptor).
func Open(tableName string, netns int) (*Writer, error) {
	w := &Writer{table: tableName, fams: map[proxy.Family]*table{}}
	opts := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(w.tune)}
	if netns > 0 {
		opts = append(opts, nftables.WithNetNSFd(netns))
	}
	conn, err := nftables.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("open nftables netlink: %w", err)
	}
	w.conn = conn
	return w, nil
}

// Close ends the connection; the tables stay.
func (w *Writer) Close() error { return w.conn.CloseLasting() }

func (w *Writer) tune(c *netlink.Conn) error {
	if err := c.SetWriteBuffer(batchBuffer); err != nil {
		return fmt.Errorf("set netlink send buffer: %w", err)
	}
	if err := c.SetReadBuffer(4 << 20); err != nil {
		return fmt.Errorf("set netlink receive buffer: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("get netlink socket: %w", err)
	}
	return raw.Control(func(fd uintptr) {
		if sa, err := unix.Getsockname(int(fd)); err == nil {
			w.port = sa.(*unix.SockaddrNetlink).Pid
		}
	})
}

// Sync replaces the tables by the ruleset, atomically. Connections go on;
// remembered clients are forgotten.
func (w *Writer) Sync(r proxy.Ruleset) error {
	for _, f := range []proxy.Family{proxy.IPv4, proxy.IPv6} {
		w.clear(f)
	}
	w.fams = map[proxy.Family]*table{}
	for _, c := range r.Chains {
		if w.fams[c.Family] == nil {
			if err := w.addTable(c.Family); err != nil {
				return err
			}
		}
	}
	if err := w.queue(proxy.Diff(proxy.Ruleset{}, r)); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("replace table %s: %w", w.table, err)
	}
	return nil
}

// Apply carries out changes since the last Sync or Apply, atomically.
func (w *Writer) Apply(c proxy.Changes) error {
	if c.Empty() {
		return nil
	}
	if err := w.queue(c); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("change table %s: %w", w.table, err)
	}
	return nil
}

// Purge deletes the tables. It is no error if there are none.
func (w *Writer) Purge() error {
	for _, f := range []proxy.Family{proxy.IPv4, proxy.IPv6} {
		w.clear(f)
	}
	w.fams = map[proxy.Family]*table{}
	if err := w.flush(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete table %s: %w", w.table, err)
	}
	return nil
}

// clear queues the deletion of a table that may not exist.
func (w *Writer) clear(f proxy.Family) {
	t := &nftables.Table{Name: w.table, Family: family(f)}
	w.conn.AddTable(t)
	w.conn.DelTable(t)
}

func (w *Writer) flush() error { return w.conn.Flush() }

func family(f proxy.Family) nftables.TableFamily {
	if f == proxy.IPv6 {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

func (w *Writer) addTable(f proxy.Family) error {
	t := &table{
		Table: w.conn.AddTable(&nftables.Table{Name: w.table, Family: family(f)}),
		sets:  map[string]*nftables.Set{},
	}
	w.fams[f] = t
	for _, spec := range proxy.SetSpecs() {
		if err := w.addSet(f, spec); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) addSet(f proxy.Family, spec proxy.SetSpec) error {
	t := w.fams[f]
	s := newSet(t.Table, f, spec)
	w.ids++
	s.ID = w.ids
	t.sets[spec.Name] = s
	if err := w.conn.AddSet(s, nil); err != nil {
		return fmt.Errorf("add set %s: %w", spec.Name, err)
	}
	return nil
}

func newSet(t *nftables.Table, f proxy.Family, spec proxy.SetSpec) *nftables.Set {
	s := &nftables.Set{
		Table: t, Name: spec.Name, KeyType: datatype(f, spec.Key),
		Concatenation: len(spec.Key) > 1, Interval: spec.Interval,
		Dynamic: spec.Dynamic, HasTimeout: spec.Dynamic,
	}
	switch {
	case spec.Verdict:
		s.IsMap, s.DataType = true, nftables.TypeVerdict
	case len(spec.Data) > 0:
		s.IsMap, s.DataType = true, datatype(f, spec.Data)
	}
	if spec.Dynamic {
		s.Size = affinitySize
	}
	return s
}

func datatype(f proxy.Family, parts []proxy.Type) nftables.SetDatatype {
	var types []nftables.SetDatatype
	for _, p := range parts {
		switch p {
		case proxy.TypeAddr:
			types = append(types, nftables.TypeIPAddr)
			if f == proxy.IPv6 {
				types[len(types)-1] = nftables.TypeIP6Addr
			}
		case proxy.TypeProto:
			types = append(types, nftables.TypeInetProto)
		case proxy.TypePort:
			types = append(types, nftables.TypeInetService)
		case proxy.TypeNumber:
			types = append(types, nftables.TypeMark)
		}
	}
	if len(types) == 1 {
		return types[0]
	}
	return nftables.MustConcatSetType(types...)
}

// queue appends the messages of a change to the batch, in the order that the
// kernel needs.
func (w *Writer) queue(c proxy.Changes) error {
	for _, s := range c.AddSets {
		if err := w.addSet(s.Family, s.SetSpec); err != nil {
			return err
		}
	}
	for _, ch := range c.AddChains {
		w.conn.AddChain(w.chain(ch))
	}
	// All chains exist before the first rule, since rules jump.
	for _, ch := range c.ResetChains {
		w.conn.FlushChain(w.chain(ch))
	}
	for _, ch := range append(append([]proxy.Chain{}, c.AddChains...), c.ResetChains...) {
		if err := w.addRules(ch); err != nil {
			return err
		}
	}
	if err := w.elements(c.DelElements, w.conn.SetDeleteElements, true); err != nil {
		return err
	}
	if err := w.elements(c.AddElements, w.conn.SetAddElements, false); err != nil {
		return err
	}
	for _, ref := range c.DelChains {
		w.conn.DelChain(&nftables.Chain{Table: w.fams[ref.Family].Table, Name: ref.Name})
	}
	for _, ref := range c.DelSets {
		t := w.fams[ref.Family]
		w.conn.DelSet(t.sets[ref.Name])
		delete(t.sets, ref.Name)
	}
	return nil
}

func (w *Writer) chain(c proxy.Chain) *nftables.Chain {
	out := &nftables.Chain{Table: w.fams[c.Family].Table, Name: c.Name}
	if c.Hook == nil {
		return out
	}
	hooks := map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting, "input": nftables.ChainHookInput,
		"forward": nftables.ChainHookForward, "output": nftables.ChainHookOutput,
		"postrouting": nftables.ChainHookPostrouting,
	}
	out.Type = nftables.ChainType(c.Hook.Type)
	out.Hooknum = hooks[c.Hook.Hook]
	out.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.Hook.Priority))
	return out
}

func (w *Writer) addRules(c proxy.Chain) error {
	for _, r := range c.Rules {
		exprs, err := encodeRule(c.Family, r)
		if err != nil {
			return err
		}
		w.conn.AddRule(&nftables.Rule{
			Table: w.fams[c.Family].Table, Chain: &nftables.Chain{Name: c.Name}, Exprs: exprs,
		})
	}
	return nil
}

// elements sends sorted elements, set by set, in messages of bounded size.
func (w *Writer) elements(list []proxy.Element, send func(*nftables.Set, []nftables.SetElement) error, del bool) error {
	for len(list) > 0 {
		n := 1
		for n < len(list) && n < elementsPerMessage && list[n].Family == list[0].Family && list[n].Set == list[0].Set {
			n++
		}
		set := w.fams[list[0].Family].sets[list[0].Set]
		var elems []nftables.SetElement
		for _, e := range list[:n] {
			elems = appendElement(elems, set, e, del)
		}
		if err := send(set, elems); err != nil {
			return fmt.Errorf("encode elements of %s: %w", set.Name, err)
		}
		list = list[n:]
	}
	return nil
}

func appendElement(out []nftables.SetElement, set *nftables.Set, e proxy.Element, del bool) []nftables.SetElement {
	x := nftables.SetElement{Key: []byte(e.Key), Val: []byte(e.Data)}
	switch {
	case e.Goto != "":
		x.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: e.Goto}
	case set.Interval && set.Concatenation:
		x.KeyEnd = []byte(e.End)
	case set.Interval:
		// Plain intervals are two elements: the first key, and the one after the last.
		out = append(out, x)
		end, ok := after(e.End)
		if !ok {
			return out
		}
		return append(out, nftables.SetElement{Key: end, IntervalEnd: true})
	}
	return append(out, x)
}

// after is the key that follows, unless there is none.
func after(key string) ([]byte, bool) {
	b := []byte(key)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b, true
		}
	}
	return nil, false
}
