package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// dial returns n clients, each with a connection of its own, whose traffic is counted in t.
func dial(endpoint string, n int, t *traffic) (clients []*clientv3.Client, hangUp func() error, err error) {
	hangUp = func() (err error) {
		for _, c := range clients {
			err = errors.Join(err, c.Close())
		}
		return err
	}
	for range n {
		c, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{endpoint},
			Logger:      zap.NewNop(),
			DialOptions: []grpc.DialOption{grpc.WithStatsHandler(t)},
		})
		if err != nil {
			return nil, nil, errors.Join(err, hangUp())
		}
		clients = append(clients, c)
	}
	return clients, hangUp, nil
}

// traffic counts what clients send, and knows when they last sent or heard something. The renewal of leases is left out: it goes on
// whatever is measured.
type traffic struct {
	sent atomic.Int64 // messages: requests, and watches opened and closed
	open atomic.Int64 // requests that wait for their answer
	last atomic.Int64 // when something was sent or came, in nanoseconds of the Unix time
}

// lastTime is when something was last sent, or came.
func (t *traffic) lastTime() time.Time { return time.Unix(0, t.last.Load()) }

// quiet is how long nothing was sent and nothing came; 0 while an answer is due.
func (t *traffic) quiet() time.Duration {
	if t.open.Load() > 0 {
		return 0
	}
	return time.Since(t.lastTime())
}

type kindKey struct{}

// kind is what a call is to traffic.
type kind int

const (
	request kind = iota
	watch        // a stream that stays open
	renewal
)

// TagRPC is a part of stats.Handler, as the others are.
func (*traffic) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	k := request
	switch {
	case strings.HasSuffix(info.FullMethodName, "/Watch"):
		k = watch
	case strings.HasSuffix(info.FullMethodName, "/LeaseKeepAlive"):
		k = renewal
	}
	return context.WithValue(ctx, kindKey{}, k)
}

// HandleRPC counts.
func (t *traffic) HandleRPC(ctx context.Context, s stats.RPCStats) {
	k, _ := ctx.Value(kindKey{}).(kind)
	if k == renewal {
		return
	}
	due := int64(0)
	switch s.(type) {
	case *stats.Begin:
		due = 1
	case *stats.End:
		due = -1
	case *stats.OutPayload:
		t.sent.Add(1)
	case *stats.InPayload:
	default:
		return
	}
	t.last.Store(time.Now().UnixNano())
	if k == request {
		t.open.Add(due)
	}
}

// TagConn does nothing.
func (*traffic) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (*traffic) HandleConn(context.Context, stats.ConnStats) {}
