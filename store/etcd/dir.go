package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"golang.org/x/sys/unix"
)

// lockName is our own lock file within the data directory. It is taken before
// etcd's files are looked at and held as long as the member runs.
const lockName = "skiff.lock"

// LockedError says that another process has the data directory open.
type LockedError struct {
	Dir    string
	Holder string // "process 123", or what else is known
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("data directory %s is in use by %s: stop it first, or use another directory", e.Dir, e.Holder)
}

// ForeignError says that the data directory holds something else.
type ForeignError struct{ Dir, Found string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("data directory %s holds %s: use an empty directory or the one this cluster was made with", e.Dir, e.Found)
}

// CorruptError says that the files of the data directory cannot be used.
type CorruptError struct {
	Dir   string
	Cause error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("data directory %s is damaged (%v): restore a snapshot into a new directory, or move this one away to start empty", e.Dir, e.Cause)
}

// Unwrap returns what etcd said.
func (e *CorruptError) Unwrap() error { return e.Cause }

// dirLock is the held lock file.
type dirLock struct{ file *os.File }

// openDir makes or checks the data directory, so that etcd neither hangs on a
// lock nor panics on what it finds, and locks it.
func openDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	if err := checkForeign(dir); err != nil {
		return nil, err
	}
	// Secrets are in there.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("restrict data directory to its owner: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if err := checkDatabase(dir); err != nil {
		lock.release()
		return nil, err
	}
	return lock, nil
}

// checkForeign refuses a directory with files that neither etcd nor we make.
func checkForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		known := name == lockName || name == "member" && e.IsDir() || strings.HasSuffix(name, ".sock") ||
			name == ".touch" || name == "lost+found"
		if !known {
			return &ForeignError{Dir: dir, Found: fmt.Sprintf("%q, which is not etcd's", name)}
		}
	}
	return nil
}

// hasLog says whether etcd's write-ahead log has been started.
func hasLog(dir string) bool {
	segments, _ := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	return len(segments) > 0
}

func lockDir(dir string) (*dirLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		held := &LockedError{Dir: dir, Holder: holder(file)}
		file.Close()
		return nil, held
	}
	if err == nil {
		err = writeHolder(file)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return &dirLock{file}, nil
}

func writeHolder(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "process %d", os.Getpid()), 0)
	return err
}

func holder(file *os.File) string {
	text := make([]byte, 64)
	if n, _ := file.ReadAt(text, 0); n > 0 {
		return string(text[:n])
	}
	return "another process"
}

func (l *dirLock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// checkDatabase opens etcd's database for reading: it must not be locked (by
// an etcd that does not know our lock file), have an intact header, be as long
// as the header says, and hang together. Etcd walks all its pages too, but in
// a goroutine of its own, where a damaged one ends the process.
func checkDatabase(dir string) error {
	path := filepath.Join(dir, "member", "snap", "db")
	info, err := os.Stat(path)
	// A crash during the very first start leaves no database, or an empty one,
	// and no log. Etcd makes the database first.
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("check database: %w", err)
	case err != nil || info.Size() == 0:
		if hasLog(dir) {
			return &CorruptError{Dir: dir, Cause: errors.New("member/wal is there, member/snap/db is missing or empty")}
		}
		return nil
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if errors.Is(err, bolt.ErrTimeout) {
		return &LockedError{Dir: dir, Holder: "another etcd"}
	}
	if err != nil {
		return &CorruptError{Dir: dir, Cause: fmt.Errorf("open member/snap/db: %w", err)}
	}
	defer db.Close()
	tx, err := db.Begin(false)
	if err != nil {
		return &CorruptError{Dir: dir, Cause: fmt.Errorf("read member/snap/db: %w", err)}
	}
	defer tx.Rollback()
	if tx.Size() > info.Size() {
		return &CorruptError{Dir: dir, Cause: fmt.Errorf("member/snap/db is %d bytes long, should be at least %d", info.Size(), tx.Size())}
	}
	if err := walk(tx); err != nil {
		return &CorruptError{Dir: dir, Cause: fmt.Errorf("read member/snap/db: %w", err)}
	}
	if keys := tx.Bucket(schema.Key.Name()); keys != nil && !hasLog(dir) {
		if key, _ := keys.Cursor().First(); key != nil {
			return &CorruptError{Dir: dir, Cause: errors.New("member/snap/db has contents, member/wal is missing")}
		}
	}
	return nil
}

// walk reads every page of the database. Bolt panics on a bad one, and reading
// a failing disk through its memory map faults.
func walk(tx *bolt.Tx) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		cursor := b.Cursor()
		for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
			if len(key) == 0 {
				return errors.New("empty key")
			}
		}
		return nil
	})
}
