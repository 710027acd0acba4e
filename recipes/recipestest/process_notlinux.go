//go:build !linux

package recipestest

import "os/exec"

func endWithUs(*exec.Cmd) {}
