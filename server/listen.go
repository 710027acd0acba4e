package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	runtimeutil "go.etcd.io/etcd/pkg/v3/runtime"
)

// reservedFiles are the descriptors kept for etcd's own files: connections must not use up those that
// it needs for its log, or it ends the process.
const reservedFiles = 150

// listener is a bound address and the URL that reaches it.
type listener struct {
	net.Listener
	url url.URL
}

// listen binds u. Connections wait in the kernel until somebody serves them.
func listen(ctx context.Context, u *url.URL) (listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", u.Host)
	if err != nil {
		return listener{}, fmt.Errorf("listen %s: %w", u.Host, bindReason(err))
	}
	bound := *u
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return listener{}, errors.Join(fmt.Errorf("listen %s: %w", u.Host, err), l.Close())
	}
	bound.Host = net.JoinHostPort(reachable(u.Hostname()), port)
	if limit, err := runtimeutil.FDLimit(); err == nil {
		if limit <= reservedFiles {
			return listener{}, errors.Join(fmt.Errorf("listen %s: this process may open %d files only, want more than %d", u.Host, limit, reservedFiles), l.Close())
		}
		l = transport.LimitListener(l, int(min(limit-reservedFiles, 1<<20)))
	}
	return listener{Listener: l, url: bound}, nil
}

// reachable is an address at which this machine reaches host, which may stand for all addresses.
func reachable(host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil || !ip.IsUnspecified():
		return host
	case ip.To4() != nil:
		return "127.0.0.1"
	}
	return "::1"
}

func bindReason(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
