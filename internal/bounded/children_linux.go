package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// adopt makes the children of those that end ours: nothing that is started gets away.
func adopt() {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, since Linux 3.4
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "bounded: what outlives its parent cannot be found:", errno)
	}
}

// ofChild has the command die with us, however we do.
func ofChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// process is a line of the table of processes.
type process struct {
	parent int
	name   string
	zombie bool
}

// killAll kills all that descends from us, until nothing does. It returns what was running.
func killAll() (killed []string) {
	for {
		table := processes()
		left := false
		for pid, p := range table {
			if !descends(table, pid) {
				continue
			}
			left = true
			if p.parent == os.Getpid() && p.zombie {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // it was ours to wait for
				continue
			}
			if !p.zombie && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed = append(killed, fmt.Sprintf("%s (%d)", p.name, pid))
			}
		}
		if !left {
			return killed
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// descends reports whether a process is a child of ours, or of such a one.
func descends(table map[int]process, pid int) bool {
	for range len(table) { // a table that is read while it changes may have a circle
		p, there := table[pid]
		switch {
		case !there || p.parent <= 1:
			return false
		case p.parent == os.Getpid():
			return true
		}
		pid = p.parent
	}
	return false
}

func processes() map[int]process {
	table := map[int]process{}
	entries, _ := os.ReadDir("/proc") // what cannot be read is not ours
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		open, shut := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')') // the name may have any letter in it
		fields := strings.Fields(string(stat[shut+1:]))
		parent, _ := strconv.Atoi(fields[1])
		table[pid] = process{parent, string(stat[open+1 : shut]), fields[0] == "Z"}
	}
	return table
}
