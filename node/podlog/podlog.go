// Package podlog reads the logs that the container runtime writes: one line per
// write of the container, as "<time> <stream> <P or F> <text>" (the log format
// of the Container Runtime Interface).
package podlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say what of a log is wanted.
type Options struct {
	Follow     bool
	Timestamps bool
	Since      time.Time // zero: from the beginning
	Tail       int64     // lines from the end; below 0: all
	Limit      int64     // bytes; 0: no limit
	Stream     string    // "stdout", "stderr" or "" for both
}

// errLimit ends a reading whose limit is reached.
var errLimit = errors.New("the limit is reached")

// Read writes a log to out. With Follow it goes on until ctx or done ends; done
// is closed when the container has ended. flush is called when what was written
// should reach the reader.
func Read(ctx context.Context, path string, o Options, out io.Writer, flush func(), done <-chan struct{}) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	start, err := tailOffset(f, o.Tail)
	if err != nil {
		return fmt.Errorf("find the log's last lines: %w", err)
	}
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return fmt.Errorf("seek in log: %w", err)
	}
	r := &reader{options: o, out: out, left: o.Limit, file: bufio.NewReaderSize(f, 32*1024)}
	if !o.Follow {
		err = r.copy()
		flush()
	} else {
		err = r.follow(ctx, path, f, flush, done)
	}
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// tailOffset returns where the last n lines begin.
func tailOffset(f *os.File, n int64) (int64, error) {
	if n < 0 {
		return 0, nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 || end == 0 {
		return end, err
	}
	buf := make([]byte, 4096)
	lines := int64(0)
	for at := end; at > 0; {
		size := min(int64(len(buf)), at)
		at -= size
		if _, err := f.ReadAt(buf[:size], at); err != nil {
			return 0, err
		}
		for i := size - 1; i >= 0; i-- {
			// The newline that ends the last line does not begin one.
			if buf[i] == '\n' && at+i != end-1 {
				if lines++; lines == n {
					return at + i + 1, nil
				}
			}
		}
	}
	return 0, nil
}

type reader struct {
	options Options
	out     io.Writer
	left    int64
	file    *bufio.Reader
	partial []byte // a line whose end is not written yet
}

// copy writes out all whole lines that there are.
func (r *reader) copy() error {
	for {
		line, err := r.file.ReadSlice('\n')
		if len(line) > 0 && (err != nil || len(r.partial) > 0) {
			r.partial = append(r.partial, line...)
			line = r.partial
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read log: %w", err)
		}
		err = r.line(line)
		r.partial = r.partial[:0]
		if err != nil {
			return err
		}
	}
}

// line writes one entry. An entry that is not of the format is left out.
func (r *reader) line(line []byte) error {
	stamp, rest, ok1 := bytes.Cut(line, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tag, text, ok3 := bytes.Cut(rest, []byte{' '})
	if !ok1 || !ok2 || !ok3 || string(stream) != "stdout" && string(stream) != "stderr" {
		return nil
	}
	if r.options.Stream != "" && r.options.Stream != string(stream) {
		return nil
	}
	if !r.options.Since.IsZero() {
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil || at.Before(r.options.Since) {
			return nil
		}
	}
	if first, _, _ := bytes.Cut(tag, []byte{':'}); string(first) == "P" {
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	if r.options.Timestamps {
		if err := r.write(append(append([]byte(nil), stamp...), ' ')); err != nil {
			return err
		}
	}
	return r.write(text)
}

func (r *reader) write(data []byte) error {
	if r.options.Limit > 0 && int64(len(data)) >= r.left {
		data = data[:r.left]
		if _, err := r.out.Write(data); err != nil {
			return err
		}
		return errLimit
	}
	r.left -= int64(len(data))
	_, err := r.out.Write(data)
	return err
}
