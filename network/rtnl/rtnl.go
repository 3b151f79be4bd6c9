// Package rtnl speaks as much rtnetlink as attaching a pod needs. A library
// would do it too, but its start-up shows in a program that runs once per
// sandbox: this package imports nothing that starts slowly.
package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Message is a request under construction: a header, a fixed part and
// attributes in the kernel's byte order and alignment.
type Message struct{ b []byte }

// New starts a request of a type (syscall.RTM_*) whose fixed part is body.
func New(kind uint16, flags uint16, body []byte) *Message {
	m := &Message{b: make([]byte, syscall.NLMSG_HDRLEN, 512)}
	binary.NativeEndian.PutUint16(m.b[4:], kind)
	binary.NativeEndian.PutUint16(m.b[6:], flags|syscall.NLM_F_REQUEST)
	m.b = append(m.b, body...)
	return m
}

// Attr appends an attribute.
func (m *Message) Attr(kind uint16, value []byte) *Message {
	end := m.begin(kind)
	m.b = append(m.b, value...)
	end()
	return m
}

// Str appends a zero-terminated string attribute.
func (m *Message) Str(kind uint16, s string) *Message { return m.Attr(kind, append([]byte(s), 0)) }

// U32 appends an attribute of four bytes.
func (m *Message) U32(kind uint16, v uint32) *Message {
	return m.Attr(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// U8 appends an attribute of one byte.
func (m *Message) U8(kind uint16, v uint8) *Message { return m.Attr(kind, []byte{v}) }

// Nest appends an attribute that holds what fill appends.
func (m *Message) Nest(kind uint16, fill func()) *Message {
	end := m.begin(kind)
	fill()
	end()
	return m
}

// Raw appends bytes, such as the fixed part inside a nested attribute.
func (m *Message) Raw(b []byte) *Message {
	m.b = append(m.b, b...)
	return m
}

func (m *Message) begin(kind uint16) (end func()) {
	start := len(m.b)
	m.b = binary.NativeEndian.AppendUint16(m.b, 0)
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
	return func() {
		binary.NativeEndian.PutUint16(m.b[start:], uint16(len(m.b)-start))
		for len(m.b)%syscall.NLMSG_ALIGNTO != 0 {
			m.b = append(m.b, 0)
		}
	}
}

// Link is struct ifinfomsg.
func Link(family uint8, index int32, flags, change uint32) []byte {
	b := make([]byte, syscall.SizeofIfInfomsg)
	b[0] = family
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

// Address is struct ifaddrmsg.
func Address(family, bits, flags uint8, index int32) []byte {
	b := []byte{family, bits, flags, syscall.RT_SCOPE_UNIVERSE, 0, 0, 0, 0}
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return b
}

// Route is struct rtmsg for a unicast route in the main table.
func Route(family, bits uint8) []byte {
	return []byte{family, bits, 0, 0, syscall.RT_TABLE_MAIN, syscall.RTPROT_BOOT, syscall.RT_SCOPE_UNIVERSE, syscall.RTN_UNICAST, 0, 0, 0, 0}
}

// Socket is a route socket in the network namespace it was opened in.
type Socket struct {
	fd  int
	seq uint32
}

// Open opens a socket in the calling thread's network namespace.
func Open() (*Socket, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	return &Socket{fd: fd}, nil
}

// Namespace tells the socket's network namespace from all that there are and
// have been since the machine started. Kernels before 5.14 may give the number of
// one that is gone to another.
func (s *Socket) Namespace() (uint64, error) {
	cookie, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err == nil {
		return cookie, nil
	}
	var stat syscall.Stat_t
	if err := syscall.Stat("/proc/thread-self/ns/net", &stat); err != nil {
		return 0, fmt.Errorf("identify the network namespace: %w", err)
	}
	return stat.Ino, nil
}

// Close closes the socket.
func (s *Socket) Close() { syscall.Close(s.fd) }

// Do sends a change and waits for the kernel's yes or no, an errno.
func (s *Socket) Do(m *Message) error {
	_, err := s.exchange(m, syscall.NLM_F_ACK)
	return err
}

// Index returns the index and flags of the named link in the socket's
// namespace; the error is ENODEV if there is none.
func (s *Socket) Index(name string) (index int32, flags uint32, err error) {
	body, err := s.link(name)
	if err != nil {
		return 0, 0, err
	}
	return int32(binary.NativeEndian.Uint32(body[4:])), binary.NativeEndian.Uint32(body[8:]), nil
}

// MAC returns the hardware address of the named link, all zero if it has none.
func (s *Socket) MAC(name string) (mac [6]byte, err error) {
	body, err := s.link(name)
	if err != nil {
		return mac, err
	}
	for a := body[syscall.SizeofIfInfomsg:]; len(a) >= syscall.SizeofRtAttr; {
		n := int(binary.NativeEndian.Uint16(a))
		if n < syscall.SizeofRtAttr || n > len(a) {
			return mac, errors.New("malformed answer from the kernel")
		}
		if binary.NativeEndian.Uint16(a[2:]) == syscall.IFLA_ADDRESS {
			copy(mac[:], a[syscall.SizeofRtAttr:n])
		}
		a = a[min(len(a), (n+syscall.NLMSG_ALIGNTO-1)&^(syscall.NLMSG_ALIGNTO-1)):]
	}
	return mac, nil
}

// link returns the kernel's description of a link: struct ifinfomsg, attributes.
func (s *Socket) link(name string) ([]byte, error) {
	m := New(syscall.RTM_GETLINK, 0, Link(syscall.AF_UNSPEC, 0, 0, 0)).Str(syscall.IFLA_IFNAME, name)
	reply, err := s.exchange(m, 0)
	if err != nil {
		return nil, err
	}
	if len(reply) < syscall.NLMSG_HDRLEN+syscall.SizeofIfInfomsg {
		return nil, errors.New("short answer from the kernel")
	}
	return reply[syscall.NLMSG_HDRLEN:], nil
}

// exchange sends m and returns the first message of the answer.
func (s *Socket) exchange(m *Message, flags uint16) ([]byte, error) {
	s.seq++
	binary.NativeEndian.PutUint32(m.b[0:], uint32(len(m.b)))
	binary.NativeEndian.PutUint16(m.b[6:], binary.NativeEndian.Uint16(m.b[6:])|flags)
	binary.NativeEndian.PutUint32(m.b[8:], s.seq)
	if err := syscall.Sendto(s.fd, m.b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("send route request", err)
	}
	buf := make([]byte, 16<<10)
	for {
		n, _, err := syscall.Recvfrom(s.fd, buf, 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("receive route answer", err)
		}
		if n < syscall.NLMSG_HDRLEN {
			return nil, errors.New("short answer from the kernel")
		}
		if binary.NativeEndian.Uint32(buf[8:]) != s.seq {
			continue
		}
		if binary.NativeEndian.Uint16(buf[4:]) != syscall.NLMSG_ERROR {
			return buf[:n], nil
		}
		if code := *(*int32)(unsafe.Pointer(&buf[syscall.NLMSG_HDRLEN])); code != 0 {
			return nil, syscall.Errno(-code)
		}
		return buf[:n], nil
	}
}

// Delete deletes the named link; ENODEV if there is none.
func (s *Socket) Delete(name string) error {
	return s.Do(New(syscall.RTM_DELLINK, 0, Link(syscall.AF_UNSPEC, 0, 0, 0)).Str(syscall.IFLA_IFNAME, name))
}

// DeleteLink deletes the named link, which may not be there.
func DeleteLink(name string) error {
	s, err := Open()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Delete(name); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// AddAddress adds an address to a link, usable at once (no duplicate address
// detection in IPv6); EEXIST if it is there already.
func (s *Socket) AddAddress(index int32, a netip.Prefix) error {
	const nodad = 0x02 // IFA_F_NODAD
	m := New(syscall.RTM_NEWADDR, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, Address(Family(a.Addr()), uint8(a.Bits()), nodad, index))
	m.Attr(syscall.IFA_LOCAL, a.Addr().AsSlice()).Attr(syscall.IFA_ADDRESS, a.Addr().AsSlice())
	if a.Addr().Is4() {
		m.Attr(syscall.IFA_BROADCAST, broadcast(a))
	}
	return s.Do(m)
}

func broadcast(a netip.Prefix) []byte {
	b := a.Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | (1<<(32-a.Bits()) - 1)
	return binary.BigEndian.AppendUint32(nil, v)
}

// Family is the address family of a.
func Family(a netip.Addr) uint8 {
	if a.Is4() {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

// SetUp sets a link up.
func (s *Socket) SetUp(index int32) error {
	return s.Do(New(syscall.RTM_NEWLINK, 0, Link(syscall.AF_UNSPEC, index, syscall.IFF_UP, syscall.IFF_UP)))
}
