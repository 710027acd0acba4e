package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// authority issues certificates for a test, in files.
type authority struct {
	dir, caFile string
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.caFile, _ = a.issue(t, "ca", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// issue makes name.pem and name.key; the first certificate signs itself and all later ones.
func (a *authority) issue(t *testing.T, name string, change func(*x509.Certificate)) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(template)
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert.Raw == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	write(t, certFile, "CERTIFICATE", der)
	write(t, keyFile, "PRIVATE KEY", keyDER)
	return certFile, keyFile
}

func write(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) clientTLS(t *testing.T, name string) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	cfg := &tls.Config{RootCAs: pool}
	if name == "" {
		return cfg
	}
	pair, err := tls.LoadX509KeyPair(a.issue(t, name, func(*x509.Certificate) {}))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg
}

func withTLS(t *testing.T, a *authority) Config {
	t.Helper()
	cfg := quick()
	cfg.ClientURLs, cfg.HTTPURL, cfg.HTTPGateway = []string{"https://127.0.0.1:0"}, "https://127.0.0.1:0", true
	cfg.CertFile, cfg.KeyFile = a.issue(t, "server", func(*x509.Certificate) {})
	cfg.ClientCAFile = a.caFile
	return cfg
}

func TestAClientWithACertificateIsServed(t *testing.T) {
	a := newAuthority(t)
	s := start(t, withTLS(t, a))
	c := dial(t, clientv3.Config{Endpoints: s.Endpoints(), TLS: a.clientTLS(t, "alice")})
	put(t, c, "k", "v")
	if got := get(t, s.Client(), "k"); got != "v" {
		t.Errorf("got %q, want v", got)
	}
	if err := getHTTPS(t, s, a.clientTLS(t, "alice")); err != nil {
		t.Errorf("HTTP: %v", err)
	}
}

func TestAClientWithoutACertificateIsRefused(t *testing.T) {
	a := newAuthority(t)
	s := start(t, withTLS(t, a))
	stranger := newAuthority(t).clientTLS(t, "mallory")
	stranger.RootCAs = a.clientTLS(t, "").RootCAs
	for who, cfg := range map[string]*tls.Config{"no certificate": a.clientTLS(t, ""), "another authority's": stranger} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := dial(t, clientv3.Config{Endpoints: s.Endpoints(), TLS: cfg}).Put(ctx, "k", "v"); err == nil {
			t.Errorf("%s: the write was accepted", who)
		}
		cancel()
		if err := getHTTPS(t, s, cfg); err == nil {
			t.Errorf("%s: HTTP was served", who)
		}
	}
	if got := get(t, s.Client(), "k"); got != "" {
		t.Errorf("the key was written: %q", got)
	}
}

func TestNamesAreServedWhereClientCertificatesAreAskedFor(t *testing.T) {
	a := newAuthority(t)
	s := start(t, withTLS(t, a))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: a.clientTLS(t, "prometheus"), DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for origin, want := range map[string]int{"": 200, "https://evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.HTTPEndpoint()+"/v3/kv/put", strings.NewReader(putBody))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "stile.example:2380"
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("origin %q: got %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

// ClientCAFile says nothing about an HTTP port without TLS.
func TestAPlainPortChecksTheHostDespiteClientCertificates(t *testing.T) {
	cfg := withTLS(t, newAuthority(t))
	cfg.HTTPURL = "http://127.0.0.1:0"
	s := start(t, cfg)
	if got := send(t, "GET", s.HTTPEndpoint()+"/version", "", map[string]string{"Host": "evil.example"}); got.status != http.StatusMisdirectedRequest {
		t.Errorf("got %d, want 421", got.status)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	s := start(t, withTLS(t, a))
	cfg := a.clientTLS(t, "alice")
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := getHTTPS(t, s, cfg); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func getHTTPS(t *testing.T, s *Server, cfg *tls.Config) error {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get(s.HTTPEndpoint() + "/version")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
