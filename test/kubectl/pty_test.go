package kubectl

import (
	"bytes"
	"io"
	"os/exec"
	"testing"

	"github.com/creack/pty"
)

// onTerminal runs a call on a terminal of rows lines and columns characters,
// types into it, and returns all that the terminal showed.
func onTerminal(t *testing.T, cmd *exec.Cmd, rows, columns uint16, typed string) string {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if _, err := io.WriteString(terminal, typed); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, terminal) // ends with EIO when the program has let go of the terminal
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, shown.String())
	}
	return shown.String()
}
