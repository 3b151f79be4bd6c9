package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/skiff-sh/skiff/bench/process"
)

// The limits run in processes of their own, which are this program with the
// first argument "limit": so their processor time and memory are told apart.

// runLimit is the main function of such a process. It answers lines of standard
// input with lines of JSON, and ends with its input.
func runLimit(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "tls":
		return limitTLS(os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "etcd":
		return limitEtcd(args[1], os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == "udp":
		return limitUDP(os.Stdin, os.Stdout)
	}
	return fmt.Errorf("limit %q: want \"tls\", \"udp\" or \"etcd DIRECTORY\"", args)
}

// limitUDP sends each packet back to where it came from.
func limitUDP(in io.Reader, out io.Writer) error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go func() { // ends with the process
		for buf := make([]byte, 1500); ; {
			n, from, err := socket.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	fmt.Fprintf(out, "%q\n", socket.LocalAddr().String())
	_, err = io.Copy(io.Discard, in)
	return err
}

// limitTLS serves GET /SIZE with that many constant bytes over TLS.
func limitTLS(in io.Reader, out io.Writer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler: constant(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with the process
	fmt.Fprintf(out, "%q\n", listener.Addr().String())
	_, err = io.Copy(io.Discard, in)
	return err
}

func constant() http.Handler {
	var mu sync.Mutex
	bodies := map[string][]byte{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		body := bodies[r.URL.Path]
		if body == nil {
			size, err := strconv.Atoi(r.URL.Path[1:])
			if err != nil {
				size = 1
			}
			body = make([]byte, size)
			bodies[r.URL.Path] = body
		}
		mu.Unlock()
		w.Header().Set("Content-Type", mediaProtobuf)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
}

// limitEtcd runs etcd with a synced log and nothing around it. It says true
// after its first write. A line "WRITERS SECONDS" is answered with the
// transactions per second of so many writers.
func limitEtcd(dir string, in io.Reader, out io.Writer) error {
	config := embed.NewConfig()
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"} // only a name: nobody listens
	config.Dir, config.LogLevel = dir, "error"
	config.ListenPeerUrls, config.AdvertisePeerUrls = nil, []url.URL{peer}
	config.ListenClientUrls, config.AdvertiseClientUrls = nil, nil
	config.InitialCluster = config.Name + "=" + peer.String()
	config.EnableGRPCGateway = false
	config.TickMs, config.ElectionMs = 10, 50
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	<-etcd.Server.ReadyNotify()
	var next atomic.Int64
	write := func() error { return transaction(etcd, next.Add(1)) }
	if err := write(); err != nil {
		return err
	}
	fmt.Fprintln(out, true)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		writers, length, _ := strings.Cut(lines.Text(), " ")
		n, err1 := strconv.Atoi(writers)
		seconds, err2 := strconv.ParseFloat(length, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		rate, err := transactions(n, time.Duration(seconds*float64(time.Second)), write)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, rate)
	}
	return nil
}

// transaction creates one key of 1 KiB, as the API server's create does.
func transaction(etcd *embed.Etcd, i int64) error {
	key := fmt.Appendf(nil, "/registry/configmaps/bench/cm-%08d", i)
	resp, err := etcd.Server.Txn(context.Background(), &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: key, Target: pb.Compare_MOD, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_ModRevision{}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: make([]byte, 1<<10)}}}},
	})
	if err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("write to etcd: %s exists", key)
	}
	return nil
}

func transactions(writers int, length time.Duration, write func() error) (float64, error) {
	var count atomic.Int64
	failures := make([]error, writers)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for time.Since(began) < length && failures[i] == nil {
				failures[i] = write()
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(count.Load()) / time.Since(began).Seconds(), errors.Join(failures...)
}

// limiter is a running limit process.
type limiter struct {
	program *process.Process
	answers *bufio.Reader
	pipe    *os.File
}

// startLimit starts a limit process and waits for its first answer.
func (b *bench) startLimit(first any, args ...string) (*limiter, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer w.Close()
	p, err := process.Start(filepath.Join(b.scratch, "limit.log"), w, self, append([]string{"limit"}, args...)...)
	if err != nil {
		r.Close()
		return nil, err
	}
	l := &limiter{program: p, answers: bufio.NewReader(r), pipe: r}
	w.Close() // so that the end of the process is the end of its answers
	if err := l.answer(first); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

func (l *limiter) answer(into any) error {
	text, err := l.answers.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("measure a limit: %s", l.program.LastWords())
	}
	return json.Unmarshal(text, into)
}

func (l *limiter) stop() {
	l.program.Stop()
	l.pipe.Close()
}

func (l *limiter) cpu() (time.Duration, error) { return process.CPUTime(l.program.PID()) }

// limits are the limit processes and what they have told.
type limits struct {
	tls     *limiter
	address string
	txn     map[int]figure
	etcd    time.Duration // exec to the first write
	etcdRSS float64
}

// etcdLimits measures etcd once.
func (b *bench) etcdLimits() error {
	if b.limits.txn != nil {
		return nil
	}
	dir, err := os.MkdirTemp(b.scratch, "etcd-")
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	began, ready := time.Now(), false
	l, err := b.startLimit(&ready, "etcd", dir)
	if err != nil {
		return err
	}
	defer l.stop()
	b.limits.etcd = time.Since(began)
	time.Sleep(time.Second) // to become idle
	if b.limits.etcdRSS, _, err = process.Memory(l.program.PID()); err != nil {
		return err
	}
	b.limits.txn = map[int]figure{}
	for _, writers := range []int{32, 1} {
		if b.limits.txn[writers], err = l.transactions(writers, b.length(2*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func (l *limiter) transactions(writers int, length time.Duration) (figure, error) {
	before, err := l.cpu()
	if err != nil {
		return figure{}, err
	}
	fmt.Fprintln(l.program.Stdin, writers, length.Seconds())
	f := figure{}
	if err := l.answer(&f.rate); err != nil {
		return f, err
	}
	after, err := l.cpu()
	f.cpu = time.Duration(float64(after-before) / (f.rate * length.Seconds()))
	return f, err
}

// txnLimit is etcd alone with so many writers.
func txnLimit(writers int) func(*bench, figure) (figure, error) {
	return func(b *bench, _ figure) (figure, error) {
		err := b.etcdLimits()
		return b.limits.txn[writers], err
	}
}

// answerLimit is a server that answers with constant bytes, as many as Skiff's
// answer had.
func answerLimit(clients int) func(*bench, figure) (figure, error) {
	return func(b *bench, skiff figure) (figure, error) {
		if b.limits.tls == nil {
			l, err := b.startLimit(&b.limits.address, "tls")
			if err != nil {
				return figure{}, err
			}
			b.limits.tls = l
		}
		path := fmt.Sprintf("/%d", skiff.size)
		constant := &target{
			endpoint: endpoint{b.limits.address, &tls.Config{InsecureSkipVerify: true}}, // a certificate made for this minute
			pids:     []int{b.limits.tls.program.PID()},
		}
		return load{
			on: constant, clients: clients, time: b.length(2 * time.Second),
			do: func(c *conn, _, _ int) (int, error) { return c.do(request{method: "GET", path: path}) },
		}.run()
	}
}
