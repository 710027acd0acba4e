//go:build !linux

package server

const fullDirEnv = "STILE_TEST_FULL_DIR"

func startFull(string) int { return 3 }
