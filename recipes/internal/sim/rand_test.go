package sim

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// draw is a random number that belongs to what: the same seed, instant and purpose give the same number, in whatever order they are asked for.
func (w *world) draw(what ...string) uint64 {
	h := w.seed*0x9e3779b97f4a7c15 ^ uint64(time.Since(w.start))*0xbf58476d1ce4e5b9
	for _, s := range what {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 0x100000001b3
		}
		h = bits.RotateLeft64(h, 29) ^ 0xff
	}
	return mix(h)
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (w *world) float(what ...string) float64 { return float64(w.draw(what...)>>11) / (1 << 53) }

func (w *world) chance(p float64, what ...string) bool { return w.float(what...) < p }

func (w *world) below(n int, what ...string) int { return int(w.draw(what...) % uint64(n)) }

// between draws a time to the nanosecond, so that hardly two things happen at one instant.
func (w *world) between(from, to time.Duration, what ...string) time.Duration {
	return from + time.Duration(w.float(what...)*float64(to-from))
}

// around draws a time with the mean given: mostly short, sometimes long.
func (w *world) around(mean time.Duration, what ...string) time.Duration {
	return time.Millisecond + time.Duration(-math.Log(1-w.float(what...))*float64(mean))
}

// workers knows the goroutines that acquire, by their ids: each draws ids of its own, although package uuid has one source for all.
var workers sync.Map

// enroll makes the calling goroutine the worker that w knows by name.
func (w *world) enroll(name string) (leave func()) {
	id := goroutine()
	workers.Store(id, &worker{world: w, name: name})
	return func() { workers.Delete(id) }
}

type worker struct {
	world *world
	name  string
	ids   int
}

func goroutine() int64 {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	fields := bytes.Fields(line) // "goroutine 17 [running]:"
	id, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}

// ids is the source of package uuid.
type ids struct{}

func (ids) Read(p []byte) (int, error) {
	known, ok := workers.Load(goroutine())
	if !ok {
		panic("an id was drawn by a goroutine that the simulation does not know")
	}
	wk := known.(*worker)
	for i := 0; i < len(p); i += 8 {
		wk.ids++
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], wk.world.draw("id", wk.name, strconv.Itoa(wk.ids)))
		copy(p[i:], b[:])
	}
	return len(p), nil
}
