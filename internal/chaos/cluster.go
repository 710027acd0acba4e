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
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/proxy"
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
	endpoint string       // http://host:port
	peers    *proxy.Proxy // through which the other members reach it; nil if there are none
	disk     *smallDisk

	mu   sync.Mutex
	proc *child
}

// startTime is how long a server may take to serve.
const startTime = 30 * time.Second

// freeURL finds one that nobody listens on.
func freeURL() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String(), l.Close()
}

// startCluster starts that many servers on data in dir.
func startCluster(ctx context.Context, program, dir string, members int, slow *throttle, smallDisk bool) (*cluster, error) {
	c := &cluster{program: program, slow: slow}
	err := c.lay(dir, members, smallDisk)
	if err == nil {
		err = c.startAll(ctx)
	}
	var client *clientv3.Client
	if err == nil {
		client, err = connect(c.endpoints()...)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.admin = &Admin{client}
	return c, nil
}

// lay makes the members, and gives them places. Each is reached by the others through a proxy.
func (c *cluster) lay(dir string, members int, smallDisk bool) error {
	var peers []string
	for i := range members {
		m := &member{cluster: c, dir: filepath.Join(dir, fmt.Sprintf("member-%d", i))}
		c.members = append(c.members, m)
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			return err
		}
		if smallDisk {
			var err error
			if m.disk, err = mountSmall(m.dir, diskSize); err != nil {
				return err
			}
		}
		var err error
		if m.endpoint, err = freeURL(); err != nil {
			return err
		}
		m.args = []string{"serve", "--data-dir", filepath.Join(m.dir, "data"), "--listen", m.endpoint, "--json"}
		if members == 1 {
			return nil
		}
		listen, err := freeURL()
		if err != nil {
			return err
		}
		if m.peers, err = proxy.Listen(listen); err != nil {
			return err
		}
		name := fmt.Sprintf("m%d", i)
		peers = append(peers, name+"="+m.peers.URL())
		m.args = append(m.args, "--name", name, "--peer-url", listen)
	}
	for _, m := range c.members {
		m.args = append(m.args, "--cluster", strings.Join(peers, ","), "--cluster-token", filepath.Base(dir))
	}
	return nil
}

func (c *cluster) startAll(ctx context.Context) error {
	errs := make(chan error, len(c.members))
	for _, m := range c.members {
		go func() { errs <- m.start(ctx) }()
	}
	var all []error
	for range c.members {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
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
		if m.peers != nil {
			errs = append(errs, m.peers.Close())
		}
		if m.disk != nil {
			errs = append(errs, m.disk.unmount())
		}
	}
	return errors.Join(errs...)
}

// leader is the member that leads, as far as can be told; otherwise any.
func (c *cluster) leader(ctx context.Context) *member {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, m := range c.members {
		st, err := c.admin.etcd.Status(ctx, m.endpoint)
		if err == nil && st.Leader == st.Header.MemberId {
			return m
		}
	}
	return c.members[0]
}
