// Command web is the guestbook's front end: it shows the entries, takes new
// ones, and says which of its replicas answered.
//
//	GET  /         the page
//	POST /         adds the form's "text"
//	GET  /api      {"pod": …, "greeting": …, "entries": […]}
//	GET  /readyz   200 once the back end answers
//
// Environment: STORE (the back end's URL, by service name), TOKEN, GREETING,
// POD (this pod's name), LISTEN (address, default :8080).
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type entry struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// view is what a visitor gets to see.
type view struct {
	Pod      string  `json:"pod"`
	Greeting string  `json:"greeting"`
	Entries  []entry `json:"entries"`
}

type site struct {
	store, token, pod, greeting string
	client                      http.Client
	page                        *template.Template
}

func main() {
	if err := run(); err != nil {
		slog.Error("guestbook web", "err", err)
		os.Exit(1)
	}
}

func run() error {
	host, _ := os.Hostname()
	s := &site{
		store: strings.TrimRight(os.Getenv("STORE"), "/"), token: os.Getenv("TOKEN"),
		pod: cmp.Or(os.Getenv("POD"), host), greeting: cmp.Or(os.Getenv("GREETING"), "Guestbook"),
		client: http.Client{Timeout: 5 * time.Second},
		page:   template.Must(template.New("").Parse(pageText)),
	}
	if s.store == "" {
		return errors.New("STORE is empty: give it the back end's URL")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	srv := &http.Server{Addr: cmp.Or(os.Getenv("LISTEN"), ":8080"), Handler: s.handler()}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	slog.Info("serving", "address", srv.Addr, "store", s.store, "pod", s.pod)
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.entries(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, func(v view) error {
			w.Header().Set("Content-Type", "application/json")
			return json.NewEncoder(w).Encode(v)
		})
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, func(v view) error { return s.page.Execute(w, v) })
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.add(r.Context(), r.FormValue("text")); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return mux
}

func (s *site) show(w http.ResponseWriter, r *http.Request, write func(view) error) {
	w.Header().Set("X-Pod", s.pod)
	entries, err := s.entries(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if err := write(view{s.pod, s.greeting, entries}); err != nil {
		slog.Warn("answer a visitor", "err", err)
	}
}

func (s *site) entries(ctx context.Context) ([]entry, error) {
	var out []entry
	resp, err := s.ask(ctx, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	return out, nil
}

func (s *site) add(ctx context.Context, text string) error {
	resp, err := s.ask(ctx, http.MethodPost, text)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (s *site) ask(ctx context.Context, method, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.store+"/entries", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the store: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the store: %w", err)
	}
	if resp.StatusCode >= 300 {
		resp.Body.Close()
		return nil, fmt.Errorf("ask the store: it answered %s", resp.Status)
	}
	return resp, nil
}

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Greeting}}</title>
<style>body{font:16px sans-serif;max-width:40em;margin:2em auto;padding:0 1em}time,footer{color:#777}li{margin:.5em 0}</style>
<h1>{{.Greeting}}</h1>
<form method="post"><input name="text" maxlength="1000" required autofocus> <button>Sign</button></form>
<ul>{{range .Entries}}<li>{{.Text}} <time>{{.At.Format "2006-01-02 15:04:05"}}</time></li>{{end}}</ul>
<footer>answered by {{.Pod}}</footer>
</html>
`
