package pki

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSeveralKeys(t *testing.T) {
	d := Directory{Path: t.TempDir(), Now: at(now())}
	names := func() (out []string) {
		t.Helper()
		keys, err := d.Keys("tokens")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			out = append(out, k.Name)
		}
		return out
	}
	expect := func(want ...string) {
		t.Helper()
		got := names()
		if len(got) != len(want) {
			t.Fatalf("keys: %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("keys: %v, want %v", got, want)
			}
		}
	}
	expect("tokens")                                 // the first is made
	if _, err := d.Key("tokens-other"); err != nil { // another's
		t.Fatal(err)
	}
	if _, err := d.AddKey("tokens"); err != nil {
		t.Fatal(err)
	}
	d.Now = at(now().Add(time.Millisecond))
	newest, err := d.AddKey("tokens")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := d.Keys("tokens")
	if err != nil || !keys[0].Key.Equal(newest.Key) {
		t.Fatalf("the newest is not first: %v, %v", keys, err)
	}
	const second, third = "tokens-20261123T120000.000000000Z", "tokens-20261123T120000.001000000Z"
	expect(third, second, "tokens")
	if err := d.RemoveKey(keys[2]); err != nil {
		t.Fatal(err)
	}
	expect(third, second) // and the first is not made again
	if err := os.WriteFile(filepath.Join(d.Path, second+".key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Keys("tokens"); err == nil {
		t.Error("a broken key was passed over: its tokens would be void")
	}
}
