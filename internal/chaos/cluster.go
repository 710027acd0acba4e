package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A cluster is the servers of a run: stile serve, each in a process of its own.
type cluster struct {
	program string
	members []*member
	admin   *Admin
	slow    *throttle // nil: not possible here
}

// A member is one server. Faults stop it and start it again on its data.
type member struct {
	cluster  *cluster
	args     []string
	dir      string
	endpoint string // http://host:port
	disk     *smallDisk

	mu   sync.Mutex
	proc *child
}

// startTime is how long a server may take to serve.
const startTime = 30 * time.Second

// freePort finds one that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("listening on %v", l.Addr())
	}
	return addr.Port, nil
}

// startCluster starts one server on data in dir.
func startCluster(ctx context.Context, program, dir string, slow *throttle, smallDisk bool) (*cluster, error) {
	c := &cluster{program: program, slow: slow}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	m := &member{cluster: c, dir: filepath.Join(dir, "member-0"), endpoint: fmt.Sprintf("http://127.0.0.1:%d", port)}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, err
	}
	if smallDisk {
		if m.disk, err = mountSmall(m.dir, diskSize); err != nil {
			return nil, err
		}
	}
	m.args = []string{"serve", "--data-dir", filepath.Join(m.dir, "data"), "--listen", m.endpoint, "--json"}
	c.members = append(c.members, m)
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	client, err := connect(m.endpoint)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.admin = &Admin{client}
	return c, nil
}

// diskSize is enough for a run's data: etcd's logs alone are 64 MiB each.
const diskSize = 512 << 20

// start starts the server, and returns when it serves.
func (m *member) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p, out, err := startChild(exec.Command(m.cluster.program, m.args...), m.dir+".log")
	if err != nil {
		return fmt.Errorf("start a server: %w", err)
	}
	line, err := readLine(ctx, out)
	var ready struct{ Event string }
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		p.kill()
		return fmt.Errorf("start a server: %w (see %s)", err, m.dir+".log")
	}
	if m.cluster.slow != nil && m.disk == nil {
		if err := m.cluster.slow.add(p.cmd.Process); err != nil {
			p.kill()
			return fmt.Errorf("limit a server: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc = p
	return nil
}

func (m *member) process() *child {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// endpoints are where the servers are reached.
func (c *cluster) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, m.endpoint)
	}
	return all
}

// close ends the servers and all that there is for them.
func (c *cluster) close() error {
	var errs []error
	if c.admin != nil {
		errs = append(errs, c.admin.etcd.Close())
	}
	for _, m := range c.members {
		if p := m.process(); p != nil {
			p.kill()
		}
		if m.disk != nil {
			errs = append(errs, m.disk.unmount())
		}
	}
	return errors.Join(errs...)
}

// requestLimit bounds the harness's own requests to etcd.
const requestLimit = 10 * time.Second

// compact forgets all history up to rev, which the tap has.
func (a *Admin) compact(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, err := a.etcd.Compact(ctx, rev)
	if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, rpctypes.ErrFutureRev) {
		return nil
	}
	return err
}

// leases is how many there are: 0, or what is left within a time in which those of dead clients must end.
func (a *Admin) leases(ctx context.Context, within time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, within+requestLimit)
	defer cancel()
	for until := time.Now().Add(within); ; {
		resp, err := a.etcd.Leases(ctx)
		if err != nil {
			return 0, err
		}
		if len(resp.Leases) == 0 || time.Now().After(until) || !sleep(ctx, 100*time.Millisecond) {
			return len(resp.Leases), nil
		}
	}
}

// below is the keys that begin with root.
func (a *Admin) below(ctx context.Context, root string) (keys []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	resp, err := a.etcd.Get(ctx, root, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// revision is etcd's newest one.
func (a *Admin) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	resp, err := a.etcd.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithLimit(1), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}
