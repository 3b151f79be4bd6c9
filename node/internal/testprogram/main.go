// Command testprogram is what the node agent's tests run in containers. It does
// one thing per first argument.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	note()
	switch os.Args[1] {
	case "pause":
		wait()
	case "serve":
		serve(os.Args[2])
	case "exit": // code, message on stdout
		fmt.Println(strings.Join(os.Args[3:], " "))
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "echo": // stdin to stdout
		_, err := io.Copy(os.Stdout, os.Stdin)
		check(err)
	case "say": // file, text...
		check(os.WriteFile(os.Args[2], []byte(strings.Join(os.Args[3:], " ")), 0o644))
	case "burn": // file: writes 1 MiB, and then only computes
		check(os.WriteFile(os.Args[2], make([]byte, 1<<20), 0o644))
		for {
		}
	case "exists": // file
		_, err := os.Stat(os.Args[2])
		check(err)
	case "stubborn": // ignores the signal that asks it to stop
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("stubborn")
		time.Sleep(time.Hour)
	case "last-words": // message, exit code
		check(os.WriteFile("/dev/termination-log", []byte(os.Args[2]), 0o644))
		code, _ := strconv.Atoi(os.Args[3])
		os.Exit(code)
	}
}

// note adds a line to the file that is to say who has started, if any.
func note() {
	file := os.Getenv("STARTS")
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	check(err)
	fmt.Fprintln(f, os.Getenv("CONTAINER"))
	check(f.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wait sleeps until a signal, and reaps what the namespace leaves behind.
func wait() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func serve(address string) {
	l, err := net.Listen("tcp", address)
	check(err)
	fmt.Println("serving")
	fmt.Fprintln(os.Stderr, "an error line")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })
	http.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) { fmt.Println("asked to end"); os.Exit(3) })
	http.HandleFunc("/log", func(w http.ResponseWriter, r *http.Request) { fmt.Println(r.URL.Query().Get("line")) })
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(r.URL.Query().Get("path"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Write(data)
	})
	http.HandleFunc("/exists", func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(r.URL.Query().Get("path")); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	go func() { check(http.Serve(l, nil)) }()
	wait()
}
