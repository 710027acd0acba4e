package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// bench is where measurements happen.
type bench struct {
	endpoint string
	own      *process         // the server, if nobody else uses it; or nil
	control  *clientv3.Client // for what is not measured
	time     time.Duration    // of a measurement
	say      progress
	names    int
}

func newBench(endpoint string, d time.Duration, say progress) (*bench, func() error, error) {
	clients, hangUp, err := dial(endpoint, 1, new(traffic))
	if err != nil {
		return nil, nil, err
	}
	return &bench{endpoint: endpoint, control: clients[0], time: d, say: say}, hangUp, nil
}

// name is a fresh one: what one measurement leaves in etcd is not the next one's.
func (b *bench) name() string {
	b.names++
	return fmt.Sprintf("compare-%d-%d", time.Now().UnixNano(), b.names)
}

// settle has this process and the own server forget what was, so that the next measurement does not pay for it. Somebody else's history
// is left alone.
func (b *bench) settle(ctx context.Context) error {
	runtime.GC()
	if b.own == nil {
		return nil
	}
	resp, err := b.control.Get(ctx, "compare")
	if err == nil {
		_, err = b.control.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// puts is how long a put takes, p50: the yardstick for this machine at this time.
func (b *bench) puts(ctx context.Context) (float64, error) {
	const n = 300
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		if _, err := b.control.Put(ctx, "compare", "x"); err != nil {
			return math.NaN(), err
		}
		took[i] = time.Since(begin)
	}
	return quantile(took, 0.5), nil
}

// cleanTimeout bounds what ends a measurement.
const cleanTimeout = 30 * time.Second

// meeting is who takes part in one measurement: some participants on each of some clients.
type meeting struct {
	name    string
	clients []*clientv3.Client
	parties []*parties
	traffic traffic
	hangUp  func() error
}

// meet opens n participants of e on each of so many clients.
func (b *bench) meet(ctx context.Context, e exclusive, clients int, n func(client int) int) (m *meeting, err error) {
	m = &meeting{name: b.name(), parties: make([]*parties, clients)}
	if m.clients, m.hangUp, err = dial(b.endpoint, clients, &m.traffic); err != nil {
		return nil, err
	}
	err = each(clients, func(i int) (err error) {
		m.parties[i], err = e.open(ctx, m.clients[i], m.name, n(i))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, m.close(ctx))
	}
	return m, nil
}

// close ends it, whether ctx has ended or not.
func (m *meeting) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err := each(len(m.parties), func(i int) error {
		if m.parties[i] == nil {
			return nil
		}
		return m.parties[i].close(ctx)
	})
	return errors.Join(err, m.hangUp())
}

// all are the participants.
func (m *meeting) all() (all []acquire) {
	for _, p := range m.parties {
		all = append(all, p.acquire...)
	}
	return all
}

func one(int) int { return 1 }
