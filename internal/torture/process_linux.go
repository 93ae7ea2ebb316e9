package torture

import (
	"os/exec"
	"syscall"
)

// ofOurs has a process end with this one, whatever ends it, and keeps the signals of a terminal from it.
func ofOurs(cmd *exec.Cmd, as *owner) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
}
