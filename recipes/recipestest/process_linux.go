package recipestest

import (
	"os/exec"
	"syscall"
)

// endWithUs has the process killed when this one dies: a frozen one wouldn't notice.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
