package nft

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/proxy"
)

// TestSCTP sends the first packet of an association, by raw sockets: not every
// kernel has SCTP's own, and those that translate it need none.
func TestSCTP(t *testing.T) {
	l := newLab(t)
	w := l.writer()
	book, _ := proxy.NewBook(config())
	if err := w.Sync(book.Ruleset()); err != nil {
		t.Fatal(err)
	}
	svc := service("one", "10.96.0.10", func(s *corev1.Service) {
		s.Spec.Ports = []corev1.ServicePort{{Name: "s", Protocol: corev1.ProtocolSCTP, Port: 36412}}
	})
	ends, name, proto := slice("one", podIPs[1]), "s", corev1.ProtocolSCTP
	ends.Ports = []discoveryv1.EndpointPort{{Name: &name, Protocol: &proto, Port: ends.Ports[0].Port}}
	if err := w.Apply(book.SetService(svc, []*discoveryv1.EndpointSlice{ends})); err != nil {
		t.Fatal(err)
	}

	var server, client net.PacketConn
	l.in(l.pods[1], func() (err error) {
		server, err = net.ListenPacket("ip4:132", podIPs[1])
		return err
	})
	defer server.Close()
	l.in(l.pods[0], func() (err error) {
		client, err = net.ListenPacket("ip4:132", podIPs[0])
		return err
	})
	defer client.Close()
	if _, err := client.WriteTo(sctpInit(5000, 36412), &net.IPAddr{IP: net.ParseIP("10.96.0.10")}); err != nil {
		t.Fatal(err)
	}
	server.SetDeadline(time.Now().Add(answerTime))
	var b [128]byte
	n, from, err := server.ReadFrom(b[:])
	if err != nil {
		t.Fatalf("the endpoint hears nothing: %v", err)
	}
	got := b[:n]
	if from.String() != podIPs[0] || binary.BigEndian.Uint16(got) != 5000 || binary.BigEndian.Uint16(got[2:]) != 8080 {
		t.Errorf("the endpoint got a packet from %s, ports %d to %d", from, binary.BigEndian.Uint16(got), binary.BigEndian.Uint16(got[2:]))
	}
	sum := binary.LittleEndian.Uint32(got[8:])
	sealSCTP(got)
	if want := binary.LittleEndian.Uint32(got[8:]); sum != want {
		t.Errorf("its checksum is %08x, want %08x", sum, want)
	}
}

// sctpInit asks for an association (RFC 9260, section 3.3.2).
func sctpInit(from, to uint16) []byte {
	const chunk = 20
	p := binary.BigEndian.AppendUint16(nil, from)
	p = binary.BigEndian.AppendUint16(p, to)
	p = append(p, make([]byte, 8)...) // the tag, 0 in a first packet, and the checksum
	p = append(p, 1, 0, 0, chunk)
	p = binary.BigEndian.AppendUint32(p, 1)     // tag of the answer
	p = binary.BigEndian.AppendUint32(p, 65536) // window
	p = append(p, 0, 1, 0, 1)                   // streams
	p = binary.BigEndian.AppendUint32(p, 1)     // first number
	sealSCTP(p)
	return p
}

// sealSCTP sets a packet's checksum.
func sealSCTP(p []byte) {
	clear(p[8:12])
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
}
