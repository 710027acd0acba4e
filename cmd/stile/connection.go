package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

const (
	endpointFlag = "endpoint"
	endpointEnv  = "STILE_ENDPOINT"
)

// connection is how commands reach etcd.
type connection struct {
	endpoints []string
}

func (c *connection) addFlags(root *cobra.Command) {
	root.PersistentFlags().StringArrayVar(&c.endpoints, endpointFlag, nil,
		"`URL` of an etcd server, may be repeated (default "+server.DefaultClientURL+", or $"+endpointEnv+", comma-separated)")
}

// open returns a client, which connects when it is first used.
func (c *connection) open(cmd *cobra.Command) (*clientv3.Client, error) {
	endpoints := c.endpoints
	if env := os.Getenv(endpointEnv); len(endpoints) == 0 && env != "" {
		endpoints = strings.Split(env, ",")
	}
	if len(endpoints) == 0 {
		endpoints = []string{server.DefaultClientURL}
	}
	for _, e := range endpoints {
		if err := checkEndpoint(e); err != nil {
			return nil, usageError(cmd, "%w", err)
		}
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, usageError(cmd, "endpoint %s: %w", strings.Join(endpoints, ","), err)
	}
	return client, nil
}

// checkEndpoint refuses what is no address of a server. It doesn't repeat what may hold a password.
func checkEndpoint(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil, strings.Contains(raw, "@"):
		if strings.Contains(raw, "@") {
			return errors.New("an endpoint has a user in it: want http://host:port alone, since endpoints are printed")
		}
		return fmt.Errorf("endpoint %q: want a URL such as %s", raw, server.DefaultClientURL)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Port() == "", *u != url.URL{Scheme: u.Scheme, Host: u.Host}:
		return fmt.Errorf("endpoint %q: want a URL such as %s", raw, server.DefaultClientURL)
	}
	return nil
}

// probeTime is how long it may take to find out why etcd can't be reached.
const probeTime = time.Second

// why says what is in the way to etcd, if that is what err came from: a client that waits to be connected doesn't tell.
func (c *connection) why(ctx context.Context, client *clientv3.Client, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	for _, e := range client.Endpoints() {
		if cause := probe(ctx, e); cause != nil {
			return fmt.Errorf("can't connect to %s: %w (is stile serve running there?)", e, cause)
		}
	}
	endpoints := strings.Join(client.Endpoints(), ",")
	if errors.Is(err, session.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errWaited) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("no answer from etcd at %s", endpoints)
	}
	return fmt.Errorf("etcd at %s: %w", endpoints, err)
}

func probe(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err == nil {
		return conn.Close()
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer")
	}
	return err
}

// unconnected hides and refuses the flags of connections on a command that makes none.
func unconnected(cmd *cobra.Command) *cobra.Command {
	cmd.SetHelpFunc(func(c *cobra.Command, args []string) {
		if f := c.InheritedFlags().Lookup(endpointFlag); f != nil {
			f.Hidden = true
		}
		c.Root().HelpFunc()(c, args)
	})
	cmd.PreRunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed(endpointFlag) {
			return usageError(c, "--%s: %s connects to no server", endpointFlag, c.Name())
		}
		return nil
	}
	return cmd
}
