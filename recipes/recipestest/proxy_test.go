package recipestest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestACut: no request gets through or is answered while it lasts, and all of them do before and after.
func TestACut(t *testing.T) {
	for s, name := range symptoms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := NewServer(t)
			p := srv.Proxy()
			c, direct := p.Client(), srv.Client()
			first := put(t, c, "x", "1")
			p.Cut(s)
			for range 3 { // the first may find its connection broken, the others find none
				if _, err := c.Put(within(t, soon), "x", "2"); err == nil {
					t.Error("a put got through")
				}
			}
			if got := put(t, direct, "y", "1"); got != first+1 {
				t.Errorf("the revision is %d, want %d: nothing was written through the proxy", got, first+1)
			}
			p.Mend()
			c.ActiveConnection().ResetConnectBackoff()
			eventually(t, "a get through the mended proxy", func() bool {
				_, err := c.Get(within(t, soon), "x")
				return err == nil
			})
			if got := put(t, c, "x", "2"); got != first+2 {
				t.Errorf("the revision is %d, want %d", got, first+2)
			}
		})
	}
}

// TestWhatACutDoesToConnections: those there are reset, new ones are reset or hear nothing.
func TestWhatACutDoesToConnections(t *testing.T) {
	for s, name := range symptoms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := NewProxy(t, echo(t))
			old := dial(t, p.URL())
			say(t, old, "ping")
			hear(t, old, "ping")
			p.Cut(s)
			wantReset(t, old)
			if s == Reset {
				wantNoConnection(t, p.URL())
			} else {
				conn := dial(t, p.URL())
				say(t, conn, "ping")
				_ = conn.SetReadDeadline(time.Now().Add(soon))
				var timeout net.Error
				if n, err := conn.Read(make([]byte, 4)); n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("a new connection got %d bytes and %v, want nothing", n, err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(late))
				p.Mend()
				wantReset(t, conn)
			}
			p.Mend()
			conn := dial(t, p.URL())
			say(t, conn, "ping")
			hear(t, conn, "ping")
		})
	}
}

// TestHoldingRequests: etcd doesn't get them until they are released, and then each once.
func TestHoldingRequests(t *testing.T) {
	srv := NewServer(t)
	p := srv.Proxy()
	c, direct := p.Client(), srv.Client()
	first := put(t, c, "x", "0")
	p.Hold(ToServer)
	const n = 5
	done := make(chan error, n)
	for range n {
		kept := p.Kept(ToServer)
		go func() {
			_, err := c.Put(within(t, late), "x", "held")
			done <- err
		}()
		eventually(t, "the request is in the proxy", func() bool { return p.Kept(ToServer) > kept })
	}
	if got := put(t, direct, "y", "1"); got != first+1 {
		t.Errorf("the revision is %d, want %d: the requests are held", got, first+1)
	}
	p.Release(ToServer)
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantKey(t, direct, "x", "held", 1+n)
	eventually(t, "nothing is kept after the release", func() bool { return p.Kept(ToServer) == 0 })
}

// TestHoldingAnswers: etcd does what was asked, and the client doesn't hear it until they are released.
func TestHoldingAnswers(t *testing.T) {
	srv := NewServer(t)
	p := srv.Proxy()
	c, direct := p.Client(), srv.Client()
	first := put(t, c, "x", "0")
	p.Hold(ToClient)
	done := make(chan *clientv3.PutResponse, 1)
	go func() {
		resp, err := c.Put(within(t, late), "x", "1")
		if err != nil {
			t.Error(err)
			resp = &clientv3.PutResponse{}
		}
		done <- resp
	}()
	eventually(t, "the put is applied", func() bool {
		resp, err := direct.Get(within(t, late), "x")
		return err == nil && resp.Kvs[0].Version == 2
	})
	eventually(t, "the answer is in the proxy", func() bool { return p.Kept(ToClient) > 0 })
	select {
	case resp := <-done:
		t.Errorf("an answer got through: %v", resp)
	default:
	}
	p.Release(ToClient)
	if got := (<-done).Header.GetRevision(); got != first+1 {
		t.Errorf("the answer says revision %d, want %d", got, first+1)
	}
}

// TestDelays: a request takes at least as long as both directions together.
func TestDelays(t *testing.T) {
	p := NewProxy(t, Endpoint(t))
	c := Client(t, p)
	put(t, c, "x", "0")
	for _, delays := range [][2]time.Duration{{soon, 0}, {0, soon}, {soon, soon}} {
		p.Delay(ToServer, delays[0])
		p.Delay(ToClient, delays[1])
		start := time.Now()
		put(t, c, "x", "1")
		if got, want := time.Since(start), delays[0]+delays[1]; got < want {
			t.Errorf("delays of %v took %v", delays, got)
		}
	}
	wantKey(t, c, "x", "1", 4)
	p.Delay(ToServer, time.Hour)
	done := make(chan error, 1)
	go func() {
		_, err := c.Put(within(t, late), "x", "2")
		done <- err
	}()
	eventually(t, "the request is in the proxy", func() bool { return p.Kept(ToServer) > 0 })
	p.Delay(ToServer, 0) // what is on the way hurries too
	p.Delay(ToClient, 0)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestEveryByteInOrder: whatever is held, released and delayed on the way, what arrives is what was sent, and then the end.
func TestEveryByteInOrder(t *testing.T) {
	p := NewProxy(t, echo(t))
	conn := dial(t, p.URL())
	sent := make([]byte, 20<<20) // more than a proxy and the system keep, so that senders have to wait too
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(sent)
	received := make(chan []byte, 1)
	go func() {
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		received <- all
	}()
	p.Hold(ToServer)
	p.Hold(ToClient)
	written := make(chan struct{})
	go func() {
		defer close(written)
		say(t, conn, string(sent))
		_ = conn.CloseWrite()
	}()
	eventually(t, "the queue is full", func() bool { return p.Kept(ToServer) > 0 })
	random := rand.New(rand.NewPCG(1, 2))
	for done := false; !done; {
		for dir := range Direction(2) {
			p.Delay(dir, time.Duration(random.IntN(3))*time.Millisecond)
			p.Release(dir)
		}
		kept := p.Kept(ToClient)
		eventually(t, "something moves", func() bool { return p.Kept(ToClient) != kept || len(received) > 0 })
		p.Hold(Direction(random.IntN(2)))
		done = len(received) > 0
	}
	await(t, "all is sent", written)
	if got := <-received; !bytes.Equal(got, sent) {
		t.Errorf("%d bytes arrived, and not the %d that were sent", len(got), len(sent))
	}
	for dir := range Direction(2) {
		eventually(t, "nothing is kept", func() bool { return p.Kept(dir) == 0 })
	}
}

// TestTheLastWordsOfTheDead: what a client had sent arrives when it is released, although the client is gone.
func TestTheLastWordsOfTheDead(t *testing.T) {
	heard := make(chan []byte, 1)
	p := NewProxy(t, serve1(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		heard <- all
	}))
	conn := dial(t, p.URL())
	p.Hold(ToServer)
	say(t, conn, "the last words")
	eventually(t, "they are in the proxy", func() bool { return p.Kept(ToServer) > 0 })
	_ = conn.SetLinger(0)
	_ = conn.Close()
	select {
	case got := <-heard:
		t.Errorf("the server heard %q, and the end, before the release", got)
	case <-time.After(soon):
	}
	p.Release(ToServer)
	select {
	case got := <-heard:
		if string(got) != "the last words" {
			t.Errorf("the server heard %q", got)
		}
	case <-time.After(late):
		t.Error("the server never heard the end")
	}
}

// TestAServerThatIsAway: its clients are reset, and the proxy still leads to it when it is back.
func TestAServerThatIsAway(t *testing.T) {
	srv := NewServer(t)
	p := srv.Proxy()
	put(t, p.Client(), "x", "1")
	srv.Stop()
	wantNoConnection(t, p.URL())
	srv.Start()
	wantKey(t, p.Client(), "x", "1", 1)
}

// serve1 answers each connection by f, until the test ends.
func serve1(t *testing.T, f func(c *net.TCPConn)) (endpoint string) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

func echo(t *testing.T) (endpoint string) {
	t.Helper()
	return serve1(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
}

func dial(t *testing.T, endpoint string) *net.TCPConn {
	t.Helper()
	c, err := tryDial(t, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, endpoint string) (*net.TCPConn, error) {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("tcp", u.Host, late)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(3 * late))
	return c.(*net.TCPConn), nil
}

func say(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := io.WriteString(c, what); err != nil {
		t.Error(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("heard %q, %v, want %q", got, err, want)
	}
}

func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection gave %d bytes, %v, want a reset", n, err)
	}
}

// wantNoConnection fails unless a new connection is reset: while it is made, or right after.
func wantNoConnection(t *testing.T, endpoint string) {
	t.Helper()
	c, err := tryDial(t, endpoint)
	if err == nil {
		wantReset(t, c)
		return
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connecting: %v, want a reset", err)
	}
}
