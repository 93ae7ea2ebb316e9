package listen_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"restante/internal/listen"
)

// serveAsked listens on the addresses that it is asked for, in lists with a | between them, and prints what it listens on.
// It is what a child process does.
func serveAsked(at string) int {
	var lists [][]string
	for list := range strings.SplitSeq(at, "|") {
		lists = append(lists, strings.Fields(list))
	}
	if err := serveLists(lists); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func serveLists(lists [][]string) error {
	passed, err := listen.Inherit(lists...)
	if err != nil {
		return err
	}
	defer passed.Close()
	for _, list := range lists {
		l, err := listen.Open(context.Background(), listen.Config{Plain: list, SocketMode: 0o600, Passed: passed})
		if err != nil {
			return err
		}
		defer l.Close()
		fmt.Print(l.Addrs(), " ")
	}
	fmt.Println("left:", os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_FDNAMES"))
	return passed.Check()
}

func TestSystemdPassesSockets(t *testing.T) {
	first, second := open(t, listen.Config{Plain: []string{"127.0.0.1:0"}}), open(t, listen.Config{Plain: []string{"127.0.0.1:0"}})
	a, b := first.Addrs()[0].String(), second.Addrs()[0].String()
	tests := map[string]struct {
		ask, pid, count, want string
	}{
		"all":                      {"systemd:", "$$", "2", "[" + a + " " + b + "] left: \n"},
		"by name":                  {"systemd:two systemd:one", "$$", "2", "[" + b + " " + a + "] left: \n"},
		"one by name and the rest": {"systemd:two systemd:", "$$", "2", "[" + b + " " + a + "] left: \n"},
		"the rest first":           {"systemd: systemd:two", "$$", "2", "[" + a + " " + b + "] left: \n"},
		"for two lists":            {"systemd:one|systemd:two", "$$", "2", "[" + a + "] [" + b + "] left: \n"},
		"the rest for one of two":  {"systemd:|systemd:two", "$$", "2", "[" + a + "] [" + b + "] left: \n"},
		"and one is not taken":     {"systemd:two", "$$", "2", `no address names: ["one"]`},
		"none of that name":        {"systemd:three", "$$", "2", "no socket for systemd:three"},
		"to another process":       {"systemd:", "1", "2", "no socket for systemd:"},
		"of which one is missing":  {"systemd:", "$$", "3", "no socket that can be listened on"},
		"in no number":             {"systemd:", "$$", "many", "must be a number"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, "sh", "-c", "export LISTEN_PID="+tt.pid+`; exec "$0"`, os.Args[0])
			child.Env = append(os.Environ(), "LISTEN_TEST_PASSED="+tt.ask, "LISTEN_FDS="+tt.count, "LISTEN_FDNAMES=one:two")
			for _, l := range []*listen.Listeners{first, second} {
				file, err := l.All()[0].(*net.TCPListener).File()
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				child.ExtraFiles = append(child.ExtraFiles, file)
			}
			said, _ := child.CombinedOutput() // it ends with an error where it shall
			if !strings.Contains(string(said), tt.want) {
				t.Errorf("it says %q, want %q in it", said, tt.want)
			}
		})
	}
}
