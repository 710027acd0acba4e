package sim

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// calm reports whether there are no faults any more.
func (w *world) calm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.healed.IsZero() && time.Since(w.healed) > 0
}

// heal ends what the nemesis has left. From here on everything must go well.
func (w *world) heal() {
	w.etcd.SetNoSpace(false)
	w.mu.Lock()
	w.pausedTil = time.Time{}
	var all []*process
	for _, n := range w.nodes {
		if n.now != nil {
			all = append(all, n.now)
		}
	}
	w.healed = time.Now()
	w.note("healed")
	w.mu.Unlock()
	for _, p := range all {
		p.link.set(func(l *link) { l.cut, l.slow, l.loss, l.late = [2]bool{}, 0, 0, 0 })
	}
}

// settle checks what must come after the faults: progress, and that nothing is left.
func (w *world) settle() {
	within := w.ttl + election + 5*time.Second
	probe := &process{world: w, name: "probe"}
	probe.link = &link{world: w, name: "probe", last: make(map[lane]int64), taken: make(map[int64]bool)}
	probe.conn = w.etcd.Connect("probe", probe.link)
	probe.client = probe.conn.Client()
	probe.clock = &clock{start: time.Now(), rate: 1}
	var err error
	if probe.session, err = session.New(probe.client, session.TTL(w.ttl), probe.simulated); err != nil {
		panic(err)
	}
	defer w.enroll("probe")()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	for _, name := range w.names {
		held, err := lock.Acquire(ctx, probe.session, name)
		if err != nil {
			w.isWrong("no progress", "%s after %v: %v", name, within, err)
			continue
		}
		w.forget(w.believes(held.Context(), probe, name))
		if err := held.Release(ctx); err != nil {
			w.isWrong("release", "by the probe: %v", err)
		}
	}
	<-ctx.Done()
	cancel()
	w.stuck(within)
	w.kill()
	w.going.Wait()
	if err := probe.session.Close(context.Background()); err != nil {
		w.isWrong("close", "the probe: %v", err)
	}
	w.leftovers(probe)
	_ = probe.client.Close()
}

// stuck finds the calls that are still waiting.
func (w *world) stuck(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.calls)) {
		w.violated("no progress", "%s: %s has not come to an end %v after the faults", name, w.calls[name], after)
	}
}

// leftovers looks for what is left when every lease must have ended.
func (w *world) leftovers(probe *process) {
	sleep(context.Background(), w.ttl+election+time.Second)
	if leases := w.etcd.Leases(); len(leases) > 0 {
		w.isWrong("left", "leases %v", leases)
	}
	root := keys.Kind(keys.DefaultRoot, "lock")
	for _, kv := range w.etcd.Read(root) {
		if key := string(kv.Key); !strings.HasSuffix(key, "/tail") {
			w.isWrong("left", "%s", key)
		}
	}
	for _, name := range w.names {
		if _, err := lock.Inspect(context.Background(), probe.client, name); err != nil {
			w.isWrong("left", "inspect %s: %v", name, err)
		}
	}
	for _, kv := range w.etcd.Read(root) {
		w.isWrong("left", "%s after a look", kv.Key)
	}
}
