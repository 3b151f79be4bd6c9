// Command store is the guestbook's back end: a list of entries behind HTTP,
// kept in one file so that it survives a restart of its container.
//
//	GET  /entries            all entries, oldest first, as JSON
//	POST /entries  (text)    adds one
//
// Both want the token that the front end shares with it. Environment: TOKEN,
// DATA (directory of the file), LISTEN (address, default :8080).
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Entry is what a visitor wrote.
type Entry struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

const maxText = 1000 // bytes of an entry

// book holds the entries in memory and appends each to the file first.
type book struct {
	mu      sync.Mutex
	file    *os.File
	entries []Entry
}

func main() {
	if err := run(); err != nil {
		slog.Error("guestbook store", "err", err)
		os.Exit(1)
	}
}

func run() error {
	token := os.Getenv("TOKEN")
	if token == "" {
		return errors.New("TOKEN is empty: give it the value that the front end has")
	}
	b, err := open(filepath.Join(cmp.Or(os.Getenv("DATA"), "/data"), "entries.jsonl"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	srv := &http.Server{Addr: cmp.Or(os.Getenv("LISTEN"), ":8080"), Handler: b.handler(token)}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	slog.Info("serving", "address", srv.Addr, "entries", len(b.entries))
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return b.file.Close()
}

// open reads the entries; a last line cut off by a crash is dropped.
func open(name string) (*book, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open entries: %w", err)
	}
	b := &book{file: f}
	whole := int64(0)
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		var e Entry
		if err != nil || json.Unmarshal([]byte(line), &e) != nil {
			break
		}
		b.entries = append(b.entries, e)
		whole += int64(len(line))
	}
	if err := f.Truncate(whole); err != nil {
		return nil, fmt.Errorf("open entries: %w", err)
	}
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return nil, fmt.Errorf("open entries: %w", err)
	}
	return b, nil
}

func (b *book) add(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	b.entries = append(b.entries, e)
	return nil
}

func (b *book) handler(token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /entries", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(append([]Entry{}, b.entries...))
	})
	mux.HandleFunc("POST /entries", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
		if err != nil || strings.TrimSpace(string(text)) == "" {
			http.Error(w, fmt.Sprintf("an entry has 1 to %d bytes", maxText), http.StatusBadRequest)
			return
		}
		if err := b.add(Entry{time.Now().UTC(), strings.TrimSpace(string(text))}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if r.URL.Path != "/healthz" && subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
