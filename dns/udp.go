package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many messages one system call reads or writes.
const batchSize = 32

// maxQuery is the longest query read, in bytes; real ones are below 512.
const maxQuery = 2048

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// batch holds the buffers of one socket: a message that came in at place i
// is answered from place i of the out side, to the address it came from.
type batch struct {
	in, out   [batchSize]mmsghdr
	inVec     [batchSize]unix.Iovec
	outVec    [batchSize]unix.Iovec
	from      [batchSize]unix.RawSockaddrAny
	query     [batchSize][maxQuery]byte
	answer    [batchSize][maxUDPSize]byte
	pending   int // messages to send
	addrSizes uint32
}

func newBatch() *batch {
	b := &batch{addrSizes: uint32(unsafe.Sizeof(unix.RawSockaddrAny{}))}
	for i := range batchSize {
		b.inVec[i] = unix.Iovec{Base: &b.query[i][0], Len: maxQuery}
		b.in[i].hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&b.from[i])), Iov: &b.inVec[i], Iovlen: 1}
	}
	return b
}

// serveUDP answers on one socket. What the zone knows is answered at once, a
// batch at a time; what must be forwarded waits in goroutines of its own.
func (s *Server) serveUDP(ctx context.Context, c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("serve DNS over UDP: %w", err)
	}
	b := newBatch()
	for {
		n, err := b.read(raw)
		if err != nil {
			return fmt.Errorf("read DNS queries: %w", err)
		}
		st := s.state.Load()
		b.pending = 0
		for i := range n {
			s.handle(ctx, st, b, i, c)
		}
		if err := b.write(raw); err != nil && errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("write DNS answers: %w", err)
		}
	}
}

// handle answers message i, now or later.
func (s *Server) handle(ctx context.Context, st *state, b *batch, i int, c *net.UDPConn) {
	query := b.query[i][:b.in[i].len]
	if len(query) < 12 {
		return
	}
	if p := s.find(st, query, &b.from[i]); p != nil {
		b.reply(i, p.copyTo(b.answer[i][:], query))
		return
	}
	s.handleLater(ctx, append([]byte(nil), query...), b.from[i], c)
}

// find returns the answer to a query if that takes no upstream server.
func (s *Server) find(st *state, query []byte, from *unix.RawSockaddrAny) *packet {
	if st == nil {
		return nil
	}
	p := st.kept(query)
	if p == nil {
		p = s.keep(st, query)
	}
	if p != nil && p.searcher != "" && s.namespaceOf(addrOf(from)) == p.searcher {
		return p.searched
	}
	return p
}

// handleLater answers in a goroutine, unless too many wait already: then the
// query is dropped, and the client asks again.
func (s *Server) handleLater(ctx context.Context, query []byte, from unix.RawSockaddrAny, c *net.UDPConn) {
	select {
	case s.forward <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-s.forward }()
		out := s.answerSlow(ctx, query, udpSizeOf(query), addrOf(&from))
		if out == nil {
			return
		}
		if to := udpAddr(&from); to != nil {
			// A client that has gone is no concern of ours.
			_, _ = c.WriteToUDP(out, to)
		}
	}()
}

// reply queues n bytes of answer i.
func (b *batch) reply(i, n int) {
	k := b.pending
	b.outVec[k] = unix.Iovec{Base: &b.answer[i][0], Len: uint64(n)}
	b.out[k].hdr = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&b.from[i])), Namelen: b.in[i].hdr.Namelen,
		Iov: &b.outVec[k], Iovlen: 1,
	}
	b.pending++
}

// read waits for messages and reads as many as there are.
func (b *batch) read(raw syscall.RawConn) (int, error) {
	for i := range b.in {
		b.in[i].hdr.Namelen = b.addrSizes
	}
	var n int
	var errno syscall.Errno
	err := raw.Read(func(fd uintptr) bool {
		n, errno = b.call(unix.SYS_RECVMMSG, fd, &b.in, batchSize)
		return errno != unix.EAGAIN
	})
	if err != nil {
		return 0, err
	}
	if errno == unix.EINTR || errno == unix.ECONNREFUSED {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// write sends the queued answers. One that cannot be sent is skipped.
func (b *batch) write(raw syscall.RawConn) error {
	for sent := 0; sent < b.pending; {
		var n int
		var errno syscall.Errno
		err := raw.Write(func(fd uintptr) bool {
			n, errno = b.callFrom(unix.SYS_SENDMMSG, fd, sent)
			return errno != unix.EAGAIN
		})
		if err != nil {
			return err
		}
		if errno != 0 || n < 1 {
			n = 1
		}
		sent += n
	}
	return nil
}

func (b *batch) call(trap, fd uintptr, m *[batchSize]mmsghdr, n int) (int, syscall.Errno) {
	r, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(m)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(b)
	return int(r), errno
}

func (b *batch) callFrom(trap, fd uintptr, first int) (int, syscall.Errno) {
	r, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(&b.out[first])), uintptr(b.pending-first), unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(b)
	return int(r), errno
}

// addrOf reads the address alone; the zero one if it is of another family.
func addrOf(sa *unix.RawSockaddrAny) netip.Addr {
	switch sa.Addr.Family {
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16((*unix.RawSockaddrInet6)(unsafe.Pointer(sa)).Addr).Unmap()
	}
	return netip.Addr{}
}

// udpAddr reads a kernel address; nil if it is of another family.
func udpAddr(sa *unix.RawSockaddrAny) *net.UDPAddr {
	port := func(p uint16) int { // network order
		b := (*[2]byte)(unsafe.Pointer(&p))
		return int(b[0])<<8 | int(b[1])
	}
	switch sa.Addr.Family {
	case unix.AF_INET:
		s := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return &net.UDPAddr{IP: s.Addr[:], Port: port(s.Port)}
	case unix.AF_INET6:
		s := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		a := &net.UDPAddr{IP: s.Addr[:], Port: port(s.Port)}
		if s.Scope_id != 0 {
			a.Zone = fmt.Sprint(s.Scope_id)
		}
		return a
	}
	return nil
}
