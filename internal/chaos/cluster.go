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
	network *proxy.Network // between the members; nil if there is one
	slow    *throttle      // nil: not possible here
}

// A member is one server. Faults stop it and start it again on its data.
type member struct {
	cluster  *cluster
	number   int
	args     []string
	dir      string
	endpoint string // http://host:port
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
	if c.network != nil {
		if err := c.identify(ctx); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

// lay makes the members, and gives them places. They reach each other through a network of the harness's own.
func (c *cluster) lay(dir string, members int, smallDisk bool) (err error) {
	for i := range members {
		m := &member{cluster: c, number: i, dir: filepath.Join(dir, fmt.Sprintf("member-%d", i))}
		c.members = append(c.members, m)
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			return err
		}
		if smallDisk {
			if m.disk, err = mountSmall(m.dir, diskSize); err != nil {
				return err
			}
		}
		if m.endpoint, err = freeURL(); err != nil {
			return err
		}
		m.args = []string{"serve", "--data-dir", filepath.Join(m.dir, "data"), "--listen", m.endpoint, "--json"}
	}
	if members == 1 {
		return nil
	}
	return c.join(filepath.Base(dir))
}

// join makes one cluster of the members.
func (c *cluster) join(token string) (err error) {
	if c.network, err = proxy.ListenNetwork(len(c.members)); err != nil {
		return err
	}
	var all []string
	for i := range c.members {
		all = append(all, fmt.Sprintf("m%d=%s", i, c.network.URL(i)))
	}
	for i, m := range c.members {
		listen, err := freeURL()
		if err != nil {
			return err
		}
		c.network.Listens(i, strings.TrimPrefix(listen, "http://"))
		m.args = append(m.args, "--name", fmt.Sprintf("m%d", i), "--peer-url", listen,
			"--cluster", strings.Join(all, ","), "--cluster-token", token)
	}
	return nil
}

// identify tells the network which member is which, so that it can cut one off.
func (c *cluster) identify(ctx context.Context) error {
	for i, m := range c.members {
		st, err := c.admin.etcd.Status(ctx, m.endpoint)
		if err != nil {
			return err
		}
		c.network.Identify(i, st.Header.MemberId)
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
		if m.disk != nil {
			errs = append(errs, m.disk.unmount())
		}
	}
	if c.network != nil {
		errs = append(errs, c.network.Close())
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
