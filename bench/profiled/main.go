// Profiled is skiff that profiles itself between one SIGUSR1 and the next. The
// first argument is the file for the profile, to which a number is added from
// the second profile on; what is in memory at the end goes to the same name with
// ".heap". The rest are skiff's own arguments.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"

	"github.com/skiff-sh/skiff/cli"
)

func main() {
	file := os.Args[1]
	go profile(file)
	os.Exit(cli.Main(append(os.Args[:1:1], os.Args[2:]...), os.Stdout, os.Stderr))
}

func profile(file string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	for i := 1; ; i++ {
		name := file
		if i > 1 {
			name = fmt.Sprintf("%s.%d", file, i)
		}
		<-signals
		out, err := os.Create(name)
		if err == nil {
			err = pprof.StartCPUProfile(out)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
			return
		}
		<-signals
		pprof.StopCPUProfile()
		if err := errors.Join(out.Close(), heap(name+".heap")); err != nil {
			fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}
}

// heap writes what is in memory.
func heap(name string) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	runtime.GC() // or it tells of the last one
	return errors.Join(pprof.WriteHeapProfile(out), out.Close())
}
