//go:build !race

package semaphore_test

const raceDetector = false
