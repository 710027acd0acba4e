package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// secured has the members show each other certificates of a's.
func secured(t *testing.T, a *authority, cfgs []Config) []Config {
	t.Helper()
	for name, url := range cfgs[0].Cluster {
		cfgs[0].Cluster[name] = strings.Replace(url, "http:", "https:", 1) // they share the map
	}
	for i := range cfgs {
		cfgs[i].PeerCertFile, cfgs[i].PeerKeyFile = a.issue(t, cfgs[i].Name, func(*x509.Certificate) {})
		cfgs[i].PeerCAFile = a.caFile
	}
	return cfgs
}

func TestMembersWithCertificatesMeet(t *testing.T) {
	all := startAll(t, secured(t, newAuthority(t), members(t, 3)))
	put(t, leader(t, all).Client(), "k", "v")
	for i, s := range all {
		if got := get(t, s.Client(), "k"); got != "v" {
			t.Errorf("member %d has %q, want v", i, got)
		}
	}
}

// TestStrangersAreNoMembers: who can send to a member's peer port can write anything.
func TestStrangersAreNoMembers(t *testing.T) {
	a := newAuthority(t)
	cfgs := secured(t, a, members(t, 3))
	startAll(t, cfgs)
	stranger := newAuthority(t).clientTLS(t, "mallory")
	stranger.RootCAs = a.clientTLS(t, "").RootCAs
	old := a.clientTLS(t, "old")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, test := range []struct {
		who string
		url string
		tls *tls.Config
		ok  bool
	}{
		{"a member", cfgs[0].Cluster["m0"], a.clientTLS(t, "m"), true},
		{"who shows no certificate", cfgs[0].Cluster["m0"], a.clientTLS(t, ""), false},
		{"who shows another authority's", cfgs[0].Cluster["m0"], stranger, false},
		{"who speaks an old TLS", cfgs[0].Cluster["m0"], old, false},
		{"who speaks none", strings.Replace(cfgs[0].Cluster["m0"], "https:", "http:", 1), nil, false},
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: test.tls, DisableKeepAlives: true}, Timeout: 5 * time.Second}
		resp, err := client.Get(test.url + "/members")
		answered := err == nil && resp.StatusCode == http.StatusOK
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if answered != test.ok {
			t.Errorf("%s is answered: %v (%v), want %v", test.who, answered, err, test.ok)
		}
	}
}

// Its certificate and its trust are those of others: neither side talks to the other.
func TestAMemberOfAnotherAuthorityStaysOutside(t *testing.T) {
	cfgs := secured(t, newAuthority(t), members(t, 3))
	startAll(t, cfgs[:2])
	foreign := newAuthority(t)
	cfgs[2].PeerCertFile, cfgs[2].PeerKeyFile = foreign.issue(t, "m2", func(*x509.Certificate) {})
	cfgs[2].PeerCAFile = foreign.caFile
	s, err := New(cfgs[2])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := s.Start(ctx); err == nil {
		t.Error("it serves")
		s.Close(t.Context())
	}
}

func TestAPeerCertificateThatIsNoneIsRefused(t *testing.T) {
	cfg := secured(t, newAuthority(t), members(t, 1))[0]
	cfg.PeerKeyFile = cfg.PeerCertFile
	assertRefused(t.Context(), t, cfg, "peer TLS", "private key")
	cfg.PeerKeyFile = "missing.key"
	assertRefused(t.Context(), t, cfg, "peer TLS", "missing.key")
	assertFree(t, strings.TrimPrefix(cfg.Cluster["m0"], "https://"))
}
