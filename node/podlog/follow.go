package podlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// follow writes out what is there and then what comes, woken by the kernel. When
// the runtime goes on in a new file of the same name, so does the reader.
func (r *reader) follow(ctx context.Context, path string, f *os.File, flush func(), done <-chan struct{}) error {
	changes, stop, err := watch(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer stop()
	var opened *os.File
	defer func() {
		if opened != nil {
			opened.Close()
		}
	}()
	for last := false; ; {
		if err := r.copy(); err != nil {
			flush()
			return err
		}
		flush()
		next, err := successor(path, f)
		if err != nil {
			return err
		}
		if next != nil {
			if opened != nil {
				opened.Close()
			}
			opened, f = next, next
			r.file = bufio.NewReaderSize(next, 32*1024)
			continue
		}
		if last {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-done:
			last = true // read what it wrote at its end
		case _, ok := <-changes:
			if !ok {
				return errors.New("watch log: the watch ended")
			}
		}
	}
}

// successor opens the file at path if it is another one than f.
func successor(path string, f *os.File) (*os.File, error) {
	now, err := os.Stat(path)
	if err != nil {
		return nil, nil // between two files, or gone
	}
	was, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at log: %w", err)
	}
	if os.SameFile(now, was) {
		return nil, nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return next, nil
}

// watch sends whenever something in a folder is written or made.
func watch(dir string) (changes <-chan struct{}, stop func(), err error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("watch log: %w", err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("watch log folder: %w", err)
	}
	ch := make(chan struct{}, 1)
	go func() {
		defer close(ch)
		buf := make([]byte, 4096)
		for {
			if _, err := file.Read(buf); err != nil {
				return
			}
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}()
	return ch, func() { file.Close() }, nil
}
