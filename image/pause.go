package image

import (
	"bytes"
	"encoding/binary"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pause is the reference of the image that every sandbox runs.
const Pause = "skiff.local/pause:1"

// PauseArchive returns an archive with the pause image.
func PauseArchive() ([]byte, error) {
	img, err := PauseImage()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = WriteArchive(&b, img)
	return b.Bytes(), err
}

// PauseImage is the pause image for amd64 and arm64. Its program holds the
// sandbox's namespaces, reaps what is reparented to it when a pod shares its
// process namespace, and ends on SIGINT and SIGTERM. It is about 100 bytes of
// machine code, so it is written here and needs no compiler.
func PauseImage() (Image, error) {
	var variants []Variant
	for _, arch := range []string{"amd64", "arm64"} {
		layer, err := NewLayer([]File{{Path: "pause", Mode: 0o755, Data: pauseProgram(arch)}})
		if err != nil {
			return Image{}, err
		}
		variants = append(variants, Variant{
			Arch:   arch,
			Config: oci.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535", WorkingDir: "/"},
			Layers: []Layer{layer},
		})
	}
	return Image{Pause, variants}, nil
}

// pauseProgram is a static ELF executable of one read-only segment.
func pauseProgram(arch string) []byte {
	machine, code := uint16(62), pauseAMD64()
	if arch == "arm64" {
		machine, code = 183, pauseARM64()
	}
	const header, base = 64 + 2*56, 0x400000
	size := uint64(header + len(code))
	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00") // 64 bit, little endian
	b = le.AppendUint16(b, 2)                                              // executable
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+header) // entry
	b = le.AppendUint64(b, 64)          // program headers follow
	b = le.AppendUint64(b, 0)           // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 2, 64, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	b = segment(b, 1 /* PT_LOAD */, 5 /* read, execute */, base, size, 0x10000)
	b = segment(b, 0x6474e551 /* PT_GNU_STACK */, 6 /* read, write */, 0, 0, 16)
	return append(b, code...)
}

func segment(b []byte, kind, flags uint32, addr, size, align uint64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(le.AppendUint32(b, kind), flags)
	for _, v := range []uint64{0, addr, addr, size, size, align} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// The program, in both instruction sets, is
//
//	sigprocmask(SIG_BLOCK, {SIGINT, SIGTERM, SIGCHLD})
//	for {
//		switch sigtimedwait(mask) { // no timeout
//		case SIGCHLD: for wait4(-1, nil, WNOHANG, nil) > 0 {}
//		case < 0:     continue
//		default:      exit_group(0)
//		}
//	}
//
// Signals are blocked and fetched, not handled: a blocked signal reaches even
// the first process of a namespace, which ignores what it has no handler for.
func pauseAMD64() []byte {
	return []byte{
		0x68, 0x02, 0x40, 0x01, 0x00, //             push   $0x14002
		0xb8, 0x0e, 0x00, 0x00, 0x00, //             mov    $14, %eax     rt_sigprocmask
		0x31, 0xff, //                               xor    %edi, %edi
		0x48, 0x89, 0xe6, //                         mov    %rsp, %rsi
		0x31, 0xd2, //                               xor    %edx, %edx
		0x41, 0xba, 0x08, 0x00, 0x00, 0x00, //       mov    $8, %r10d
		0x0f, 0x05, //                               syscall
		0xb8, 0x80, 0x00, 0x00, 0x00, //       wait: mov    $128, %eax    rt_sigtimedwait
		0x48, 0x89, 0xe7, //                         mov    %rsp, %rdi
		0x31, 0xf6, //                               xor    %esi, %esi
		0x31, 0xd2, //                               xor    %edx, %edx
		0x41, 0xba, 0x08, 0x00, 0x00, 0x00, //       mov    $8, %r10d
		0x0f, 0x05, //                               syscall
		0x83, 0xf8, 0x11, //                         cmp    $17, %eax     SIGCHLD
		0x74, 0x0d, //                               je     reap
		0x85, 0xc0, //                               test   %eax, %eax
		0x78, 0xe3, //                               js     wait
		0x31, 0xff, //                               xor    %edi, %edi
		0xb8, 0xe7, 0x00, 0x00, 0x00, //             mov    $231, %eax    exit_group
		0x0f, 0x05, //                               syscall
		0xb8, 0x3d, 0x00, 0x00, 0x00, //       reap: mov    $61, %eax     wait4
		0x48, 0x83, 0xcf, 0xff, //                   or     $-1, %rdi
		0x31, 0xf6, //                               xor    %esi, %esi
		0xba, 0x01, 0x00, 0x00, 0x00, //             mov    $1, %edx      WNOHANG
		0x45, 0x31, 0xd2, //                         xor    %r10d, %r10d
		0x0f, 0x05, //                               syscall
		0x85, 0xc0, //                               test   %eax, %eax
		0x7f, 0xe7, //                               jg     reap
		0xeb, 0xbf, //                               jmp    wait
	}
}

func pauseARM64() []byte {
	var b []byte
	for _, word := range []uint32{
		0xd2880049, //       mov  x9, #0x4002
		0xf2a00029, //       movk x9, #1, lsl #16
		0xf81f0fe9, //       str  x9, [sp, #-16]!
		0xd28010e8, //       mov  x8, #135          rt_sigprocmask
		0xd2800000, //       mov  x0, #0
		0x910003e1, //       mov  x1, sp
		0xd2800002, //       mov  x2, #0
		0xd2800103, //       mov  x3, #8
		0xd4000001, //       svc  #0
		0xd2801128, // wait: mov  x8, #137          rt_sigtimedwait
		0x910003e0, //       mov  x0, sp
		0xd2800001, //       mov  x1, #0
		0xd2800002, //       mov  x2, #0
		0xd2800103, //       mov  x3, #8
		0xd4000001, //       svc  #0
		0xf100441f, //       cmp  x0, #17           SIGCHLD
		0x540000a0, //       b.eq reap
		0xb7ffff00, //       tbnz x0, #63, wait
		0xd2800bc8, //       mov  x8, #94           exit_group
		0xd2800000, //       mov  x0, #0
		0xd4000001, //       svc  #0
		0xd2802088, // reap: mov  x8, #260          wait4
		0x92800000, //       mov  x0, #-1
		0xd2800001, //       mov  x1, #0
		0xd2800022, //       mov  x2, #1            WNOHANG
		0xd2800003, //       mov  x3, #0
		0xd4000001, //       svc  #0
		0xf100001f, //       cmp  x0, #0
		0x54ffff2c, //       b.gt reap
		0x17ffffec, //       b    wait
	} {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return b
}
