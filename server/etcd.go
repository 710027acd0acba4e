package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// membersInterval is how often a server that isn't ready looks whether it waits for other members.
const membersInterval = 200 * time.Millisecond

// startEtcd runs etcd until it is ready to serve. It listens nowhere: serve does.
func (n *node) startEtcd(ctx context.Context, s *Server) (err error) {
	if err := interrupted(ctx); err != nil {
		return err
	}
	cfg := n.etcdConfig(s.log)
	if s.tune != nil {
		s.tune(cfg)
	}
	if n.etcd, err = s.guard.start(cfg); err != nil {
		return fmt.Errorf("etcd in %s: %w", n.dir.path, err)
	}
	if n.peers != nil {
		n.peers.open(s.log, n.etcd.Server)
	}
	return n.awaitReady(ctx)
}

// awaitReady waits for ever if other members are needed to elect a leader and don't come. A member that
// is to be alone looks for them. Most such stores were refused before etcd started, but not that of a
// learner, nor one whose log alone knows of the others yet.
func (n *node) awaitReady(ctx context.Context) error {
	look := time.NewTicker(membersInterval)
	defer look.Stop()
	for {
		if len(n.settings.Cluster) == 0 && n.otherVoters() > 0 {
			return fmt.Errorf("etcd in %s: %w", n.dir.path, errLargerCluster)
		}
		select {
		case <-n.etcd.Server.ReadyNotify():
			return cmp.Or(interrupted(ctx), n.refuseAlone())
		case <-n.etcd.Server.StopNotify():
			return errors.New("etcd stopped while starting; its log says why")
		case <-ctx.Done():
			return interrupted(ctx)
		case <-look.C:
		}
	}
}

func (n *node) etcdConfig(log *zap.Logger) *embed.Config {
	c := embed.NewConfig()
	c.Dir = n.dir.path
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	n.settings.membership(c, log)
	c.AdvertiseClientUrls = nil
	for i, l := range n.clients {
		c.AdvertiseClientUrls = append(c.AdvertiseClientUrls, n.settings.advertised(l.url, n.settings.clients[i]))
	}
	c.EnableGRPCGateway = false
	n.limits(c)
	c.ClientTLSInfo = tlsInfo(n.settings.Config, log)
	c.UnsafeNoFsync = n.settings.NoFsync
	return c
}

func (n *node) limits(c *embed.Config) {
	s := n.settings
	c.TickMs = uint(s.HeartbeatInterval / time.Millisecond)
	c.ElectionMs = uint(s.ElectionTimeout / time.Millisecond)
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = s.CompactionHistory.String()
	c.QuotaBackendBytes = s.QuotaBytes
	c.MaxRequestBytes = uint(s.MaxRequestBytes)
	c.MaxConcurrentStreams = uint32(s.MaxConcurrentStreams)
}

func tlsInfo(c Config, log *zap.Logger) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: c.CertFile, KeyFile: c.KeyFile,
		TrustedCAFile: c.ClientCAFile, ClientCertAuth: c.ClientCAFile != "",
		Logger: log,
	}
}

// maxHandOver bounds how long a leader that stops waits for another to take over.
const maxHandOver = time.Second

// stopEtcd hands leadership over if there is somebody to take it, so that the others needn't wait for an
// election, and stops.
func (n *node) stopEtcd() {
	if n.etcd != nil {
		n.handOver()
	}
	if n.peers != nil {
		n.peers.refuse()
	}
	if n.etcd != nil {
		n.etcd.Server.HardStop()
		n.etcd.Close()
	}
	if n.peers != nil {
		n.peers.close()
	}
}

// handOver gives up when an election would hardly take longer. etcd would wait for 5 s and two elections,
// also for a member that hangs, or that has just stopped itself.
func (n *node) handOver() {
	done := make(chan struct{})
	n.serving.Go(func() {
		defer close(done)
		_ = n.etcd.Server.TryTransferLeadershipOnShutdown() // or the others elect one
	})
	select {
	case <-done:
	case <-time.After(min(n.settings.ElectionTimeout/2, maxHandOver)):
	}
}

// startGuard turns what etcd does when it can't start (log "fatal" and exit, or panic) into an error, as
// far as it does so in the goroutine that starts it. What it does in others can't be caught: it opens an
// existing database in one, hence prepareDatabase. After a start that failed so, what etcd left running
// must not end the process, only itself.
// Once etcd has started the guard lets such an end happen: a member that can't write must not go on.
type startGuard struct{ starting, failed atomic.Bool }

// lastWords is what the guard panics with instead of ending the process.
type lastWords struct{ message string }

// OnWrite is called by zap after it wrote a "fatal" entry.
func (g *startGuard) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	if g.failed.Load() {
		runtime.Goexit()
	}
	if !g.starting.Load() {
		os.Exit(1)
	}
	words := []string{e.Message}
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			words = append(words, err.Error())
		}
	}
	panic(lastWords{strings.Join(words, ": ")})
}

func (g *startGuard) start(cfg *embed.Config) (e *embed.Etcd, err error) {
	g.starting.Store(true)
	defer g.starting.Store(false)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case lastWords:
			g.failed.Store(true)
			e, err = nil, fmt.Errorf("damaged or unusable: %s", p.message)
		default:
			g.failed.Store(true)
			e, err = nil, fmt.Errorf("damaged or unusable: %v", p)
		}
	}()
	return embed.StartEtcd(cfg)
}
