package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A listener is a server that tells what lines came.
type listener struct {
	url   string
	lines chan string
}

func listen(t *testing.T) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &listener{"http://" + l.Addr().String(), make(chan string, 10)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				for r := bufio.NewScanner(c); r.Scan(); {
					s.lines <- r.Text()
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return s
}

func (s *listener) want(t *testing.T, text string) {
	t.Helper()
	select {
	case got := <-s.lines:
		if got != text {
			t.Errorf("the server got %q, want %q", got, text)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%q has not come", text)
	}
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What an orphaned connection had sent comes later than what its client sends in the next one.
func TestWhatAnOrphanHasSentComesLater(t *testing.T) {
	s := listen(t)
	p, err := Listen(s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	old := dial(t, p)
	fmt.Fprintln(old, "before")
	s.want(t, "before")
	p.Hold(ToServer)
	fmt.Fprintln(old, "late")
	for p.Kept(ToServer) == 0 {
		<-time.After(time.Millisecond)
	}
	p.Orphan(500 * time.Millisecond)
	p.Release(ToServer)
	if _, err := old.Read(make([]byte, 1)); err == nil || err == io.EOF { //nolint:errorlint // it is not wrapped
		t.Errorf("its client reads %v, want a reset", err)
	}
	next := dial(t, p)
	fmt.Fprintln(next, "after")
	s.want(t, "after")
	s.want(t, "late")
}
