package supervise

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openLog opens a process's output for appending. The process writes to the
// file itself and not through a pipe of ours: it must be able to log, and not
// be killed by SIGPIPE, when we are gone.
func openLog(file string) (*os.File, error) {
	if file == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

// rotateWhenFull copies the log to file.1 and empties it whenever it has
// reached max bytes, until done. The kernel says when the file was written to.
func rotateWhenFull(file string, max int64, done <-chan struct{}, logger *slog.Logger) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		logger.Error("log will not be rotated", "file", file, "err", err)
		return
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, file, unix.IN_MODIFY); err != nil {
		logger.Error("log will not be rotated", "file", file, "err", err)
		return
	}
	go func() {
		<-done
		events.Close() // ends the read below
	}()
	// Equal events in the queue are merged, so a burst of lines is one wake-up.
	buf := make([]byte, 16*unsafe.Sizeof(unix.InotifyEvent{}))
	for {
		if err := rotate(file, max); err != nil {
			logger.Error("cannot rotate log", "file", file, "err", err)
		}
		if _, err := events.Read(buf); err != nil {
			return
		}
	}
}

// rotate moves the log's contents, not the file: the process keeps its
// descriptor. Lines written between the last read and the truncation, a few
// microseconds apart, are lost.
func rotate(file string, max int64) error {
	info, err := os.Stat(file)
	if err != nil || info.Size() < max {
		return err
	}
	in, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(file+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = in.Truncate(0)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
