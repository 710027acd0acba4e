package recipestest

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/proxy"
)

// A Direction is one of the two in which bytes go.
type Direction int

const (
	// ToServer is the direction of what clients send.
	ToServer = Direction(proxy.ToServer)
	// ToClient is the direction of what the server answers.
	ToClient = Direction(proxy.ToClient)
)

// A Symptom is what a client notices of a fault.
type Symptom int

const (
	// Silence is that nothing comes, as from a network that swallows everything. Only the client's own deadline ends it.
	Silence = Symptom(proxy.Silence)
	// Reset is that the connection breaks, which the client hears at once.
	Reset = Symptom(proxy.Reset)
)

// A Proxy stands between clients and a server, and passes every byte on until it is told otherwise. What it does to one direction it
// does to all connections through it, those of now and those to come; give a client a Proxy of its own to single it out. Its methods
// can be called at any time, from any goroutine.
//
// No byte is lost or overtaken, except that Cut loses what is on the way.
type Proxy struct {
	tb    testing.TB
	proxy *proxy.Proxy
}

// NewProxy starts a proxy in front of the server at endpoint, a URL as Endpoint and Server.Endpoint give it, until the test ends.
func NewProxy(tb testing.TB, endpoint string) *Proxy {
	tb.Helper()
	p, err := proxy.Listen(endpoint)
	if err != nil {
		tb.Fatalf("recipestest: %v", err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Errorf("recipestest: %v", err)
		}
	})
	return &Proxy{tb, p}
}

// URL is the address at which clients reach the server through the proxy.
func (p *Proxy) URL() string { return p.proxy.URL() }

// Client is a client of the server through the proxy, that is closed when the test ends. It sees all keys: for one that sees a part
// of the shared server, hand the proxy to the function Client.
func (p *Proxy) Client(opts ...ClientOption) *clientv3.Client {
	p.tb.Helper()
	return newClient(p.tb, []string{p.URL()}, opts)
}

// set has a client go through the proxy.
func (p *Proxy) set(cfg *clientv3.Config) { cfg.Endpoints = []string{p.URL()} }

// Cut resets all connections, with all that is on the way in them. New ones are reset at once too (Reset), or made and then left
// without an answer (Silence), until Mend.
func (p *Proxy) Cut(how Symptom) { p.proxy.Cut(proxy.Symptom(how)) }

// Mend ends a Cut: whoever connects now gets through. Connections that were left without an answer are reset.
//
// A client of etcd's that found nobody waits before it tries again, a second at first and then ever longer;
// client.ActiveConnection().ResetConnectBackoff() makes it try at once.
func (p *Proxy) Mend() { p.proxy.Mend() }

// Hold keeps what is sent in a direction from now on, the end of a connection included, until Release. What the proxy has already
// read may still go out.
func (p *Proxy) Hold(dir Direction) { p.proxy.Hold(proxy.Direction(dir)) }

// Release lets through what Hold has kept, in order, and all that follows.
//
// A request that its sender has cancelled meanwhile arrives together with its cancellation, and etcd applies it or not: to have it
// applied for certain, see Faults.LateRequest.
func (p *Proxy) Release(dir Direction) { p.proxy.Release(proxy.Direction(dir)) }

// Delay has bytes of a direction arrive d after they were sent, those on the way included; 0 ends that.
func (p *Proxy) Delay(dir Direction, d time.Duration) { p.proxy.Delay(proxy.Direction(dir), d) }

// Kept is how many bytes of a direction the proxy has read and not yet passed on.
func (p *Proxy) Kept(dir Direction) int { return p.proxy.Kept(proxy.Direction(dir)) }
