//go:build !race

package election_test

const raceDetector = false
