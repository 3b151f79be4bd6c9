package volume

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	empty, _, err := Usage(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sub", "file")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	used, files, err := Usage(dir)
	if grown := used - empty; err != nil || grown < 1<<20 || grown > 1<<20+1<<16 {
		t.Errorf("a file of 1 MiB with two names takes %d bytes, %v", grown, err)
	}
	if files != 4 { // the folder, the one in it, the file and the link
		t.Errorf("counted %d files, want 4", files)
	}
}
