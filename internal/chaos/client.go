package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/session"
)

// ClientConfig is what a client process is told.
type ClientConfig struct {
	history.Who
	Workload  string
	Seed      uint64
	Endpoints []string
	Store     string // URL
	File      string // for its records
	Names     int
	Workers   int
	TTL       time.Duration
	Margin    time.Duration
	Pause     time.Duration // between two acquisitions, on average
	Hold      time.Duration // of those that hold long
	Patience  time.Duration // how long anybody waits for a lock, at most; 0: it differs
	ByContext bool          // all holders trust the context alone
	Long      int           // how many of a hundred those are
}

func (c ClientConfig) options() []session.Option {
	opts := []session.Option{
		session.TTL(c.TTL),
		session.Labels(map[string]string{"client": fmt.Sprint(c.Client), "life": fmt.Sprint(c.Life)}),
		session.CleanupTimeout(cleanup),
	}
	if c.Margin > 0 {
		opts = append(opts, session.Margin(c.Margin))
	}
	return opts
}

// cleanup is the clients' cleanup timeout.
const cleanup = 3 * time.Second

// sessionsShared is how many sessions the workers of a client share.
const sessionsShared = 2

// RunClient is a client process, until its standard input ends.
func RunClient(cfg ClientConfig, in io.Reader) error {
	work, err := NewWorkload(cfg.Workload)
	if err != nil {
		return err
	}
	out, err := history.Create(cfg.File)
	if err != nil {
		return err
	}
	before, err := descriptors()
	if err != nil {
		return err
	}
	p := &process{cfg: cfg, out: out}
	if p.etcd, err = connect(cfg.Endpoints...); err != nil {
		return err
	}
	for range sessionsShared {
		s, err := session.New(p.etcd, cfg.options()...)
		if err != nil {
			return err
		}
		p.shared = append(p.shared, s)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	var meter sync.WaitGroup
	metering, halt := context.WithCancel(context.Background())
	meter.Go(func() { p.meter(metering) })
	go func() {
		_, _ = io.Copy(io.Discard, in)
		stop(stopped{history.Now()})
	}()
	p.work(ctx, work)
	halt()
	meter.Wait()
	err = p.etcd.Close()
	end := &history.End{Who: cfg.Who, At: history.Now(), Leaks: leaks(before)}
	out.Write(history.Record{End: end})
	return errors.Join(err, out.Close())
}

// connect makes a client that tries again soon when a server comes back; by default it would take up to two minutes.
func connect(endpoints ...string) (*clientv3.Client, error) {
	b := backoff.DefaultConfig
	b.BaseDelay, b.MaxDelay = 100*time.Millisecond, time.Second
	return clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: b, MinConnectTimeout: time.Second})},
	})
}

func (p *process) work(ctx context.Context, work Workload) {
	var all sync.WaitGroup
	for i := range p.cfg.Workers {
		w := &Worker{process: p, Rand: rand.New(rand.NewPCG(p.cfg.Seed, uint64(i))), recipe: p.cfg.Workload, number: i}
		all.Go(func() { work.Work(ctx, w) })
	}
	all.Wait()
	w := &Worker{process: p, Rand: rand.New(rand.NewPCG(p.cfg.Seed, 1<<32)), recipe: "session"}
	for _, s := range p.shared {
		w.closeSession(s, 0)
	}
}

// fork is another worker of the same process.
func (w *Worker) fork(i int) *Worker {
	return &Worker{process: w.process, Rand: rand.New(rand.NewPCG(w.Rand.Uint64(), uint64(i))), recipe: w.recipe}
}

const (
	meterEvery = 5 * time.Millisecond
	stall      = 15 * time.Millisecond
)

// meter records when this process did not run.
func (p *process) meter(ctx context.Context) {
	last := history.Now()
	for sleep(ctx, meterEvery) {
		at := history.Now()
		if at.Sub(last) > stall {
			p.out.Write(history.Record{Stall: &history.Stall{Who: p.cfg.Who, From: last, To: at}})
		}
		last = at
	}
}

// leaks is what is left of the work when it is over: goroutines, and open files beyond those of before.
func leaks(before int) (found []string) {
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil {
		found = append(found, err.Error())
	}
	after, err := descriptors()
	switch {
	case err != nil:
		found = append(found, err.Error())
	case after > before:
		found = append(found, fmt.Sprintf("%d descriptors are open, %d were before", after, before))
	}
	return found
}

// descriptors is how many files this process has open.
func descriptors() (int, error) {
	r, w, err := os.Pipe() // with the first one the runtime opens what it watches all others with
	if err != nil {
		return 0, err
	}
	_, _ = r.Close(), w.Close()
	open, err := os.ReadDir("/proc/self/fd")
	return len(open), err
}
