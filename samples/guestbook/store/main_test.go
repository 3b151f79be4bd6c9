package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func request(h http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEntriesSurviveARestartAndACutLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "entries.jsonl")
	b, err := open(file)
	if err != nil {
		t.Fatal(err)
	}
	h := b.handler("t")
	if w := request(h, "POST", "/entries", "t", "hello"); w.Code != http.StatusCreated {
		t.Fatalf("POST: %d %s", w.Code, w.Body)
	}
	for _, bad := range []string{"", "  ", strings.Repeat("x", maxText+1)} {
		if w := request(h, "POST", "/entries", "t", bad); w.Code != http.StatusBadRequest {
			t.Errorf("POST of %d bytes: %d", len(bad), w.Code)
		}
	}
	if w := request(h, "GET", "/entries", "wrong", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("wrong token: %d", w.Code)
	}
	if _, err := b.file.WriteString(`{"at":"2026-`); err != nil { // killed while writing
		t.Fatal(err)
	}
	b.file.Close()
	if b, err = open(file); err != nil {
		t.Fatal(err)
	}
	defer b.file.Close()
	request(b.handler("t"), "POST", "/entries", "t", "again")
	got := request(b.handler("t"), "GET", "/entries", "t", "").Body.String()
	if !strings.Contains(got, `"hello"`) || !strings.Contains(got, `"again"`) {
		t.Errorf("entries: %s", got)
	}
	if data, _ := os.ReadFile(file); strings.Count(string(data), "\n") != 2 {
		t.Errorf("file: %s", data)
	}
}
