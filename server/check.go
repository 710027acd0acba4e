package server

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxElectionTimeout      = 50 * time.Second // etcd's own limit
	minCompactionHistory    = time.Second
	minQuotaBytes           = 1 << 20
	maxMaxRequestBytes      = 10 << 20 // beyond it etcd warns: raft stalls on such entries
	maxMaxConcurrentStreams = 1_000_000
)

// settings is a Config that was checked: defaults filled in, URLs parsed.
type settings struct {
	Config
	clients []*url.URL
	http    *url.URL // nil when off
	peer    *url.URL // to listen on; nil without a cluster
}

// check returns all that is wrong with cfg at once.
func check(cfg Config) (settings, error) {
	s := settings{Config: withDefaults(cfg)}
	var errs []error
	for _, raw := range s.ClientURLs {
		u, err := s.parseURL("ClientURLs", raw)
		s.clients, errs = append(s.clients, u), append(errs, err)
	}
	if s.HTTPURL != "" {
		u, err := s.parseURL("HTTPURL", s.HTTPURL)
		s.http, errs = u, append(errs, err)
	}
	errs = append(errs, s.checkCluster(), s.checkStorage(), s.checkTLS(), s.checkTimes(), s.checkLimits())
	if s.HTTPGateway && s.HTTPURL == "" {
		errs = append(errs, errors.New("HTTPGateway needs HTTPURL, the address to serve it on"))
	}
	return s, errors.Join(errs...)
}

func withDefaults(c Config) Config {
	if len(c.ClientURLs) == 0 {
		c.ClientURLs = []string{DefaultClientURL}
	}
	if len(c.Cluster) > 0 {
		c.Cluster = maps.Clone(c.Cluster)
		setDefault(&c.PeerURL, c.Cluster[c.Name])
		setDefault(&c.ElectionTimeout, ClusterElectionTimeout)
	}
	setDefault(&c.ElectionTimeout, DefaultElectionTimeout)
	setDefault(&c.HeartbeatInterval, max(c.ElectionTimeout/10, time.Millisecond).Truncate(time.Millisecond))
	setDefault(&c.CompactionHistory, DefaultCompactionHistory)
	setDefault(&c.QuotaBytes, DefaultQuotaBytes)
	setDefault(&c.MaxRequestBytes, DefaultMaxRequestBytes)
	setDefault(&c.MaxConcurrentStreams, DefaultMaxConcurrentStreams)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (s *settings) checkStorage() error {
	switch {
	case s.DataDir == "" && !s.Temporary:
		return errors.New("DataDir is empty: name a directory, or set Temporary")
	case s.DataDir != "" && s.Temporary:
		return errors.New("DataDir and Temporary exclude each other")
	}
	return nil
}

func (s *settings) checkTLS() error {
	var errs []error
	if (s.CertFile == "") != (s.KeyFile == "") {
		errs = append(errs, errors.New("CertFile and KeyFile go together"))
	}
	if s.ClientCAFile != "" && s.CertFile == "" {
		errs = append(errs, errors.New("ClientCAFile needs CertFile and KeyFile"))
	}
	if s.CertFile != "" && !s.usesTLS() {
		errs = append(errs, errors.New("CertFile is set, but no URL is https"))
	}
	return errors.Join(errs...)
}

func (s *settings) usesTLS() bool {
	for _, raw := range append([]string{s.HTTPURL}, s.ClientURLs...) {
		if strings.HasPrefix(raw, "https:") {
			return true
		}
	}
	return false
}

func (s *settings) checkTimes() error {
	var errs []error
	whole := func(d time.Duration) bool { return d > 0 && d%time.Millisecond == 0 }
	if !whole(s.ElectionTimeout) || s.ElectionTimeout > maxElectionTimeout {
		errs = append(errs, fmt.Errorf("ElectionTimeout %v: want 5ms to %v, whole milliseconds", s.ElectionTimeout, maxElectionTimeout))
	}
	if !whole(s.HeartbeatInterval) || s.HeartbeatInterval > s.ElectionTimeout/5 {
		errs = append(errs, fmt.Errorf("HeartbeatInterval %v: want at most a fifth of ElectionTimeout (%v), whole milliseconds", s.HeartbeatInterval, s.ElectionTimeout))
	}
	if s.CompactionHistory < minCompactionHistory {
		errs = append(errs, fmt.Errorf("CompactionHistory %v: want at least %v", s.CompactionHistory, minCompactionHistory))
	}
	return errors.Join(errs...)
}

func (s *settings) checkLimits() error {
	var errs []error
	if s.QuotaBytes < minQuotaBytes {
		errs = append(errs, fmt.Errorf("QuotaBytes %d: want at least %d", s.QuotaBytes, minQuotaBytes))
	}
	if s.MaxRequestBytes < 1 || s.MaxRequestBytes > maxMaxRequestBytes {
		errs = append(errs, fmt.Errorf("MaxRequestBytes %d: want 1 to %d", s.MaxRequestBytes, maxMaxRequestBytes))
	}
	if s.MaxConcurrentStreams < 1 || s.MaxConcurrentStreams > maxMaxConcurrentStreams {
		errs = append(errs, fmt.Errorf("MaxConcurrentStreams %d: want 1 to %d", s.MaxConcurrentStreams, maxMaxConcurrentStreams))
	}
	return errors.Join(errs...)
}

// parseURL reads an address to listen on for clients, and refuses one that lets strangers in.
func (s *settings) parseURL(field, raw string) (*url.URL, error) {
	u, err := parseAddress(field, raw)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme == "https" && s.CertFile == "":
		return nil, fmt.Errorf("%s %s: https needs CertFile and KeyFile", field, raw)
	case isLoopback(u.Hostname()) || s.AllowInsecure || u.Scheme == "https" && s.ClientCAFile != "":
		return u, nil
	}
	return nil, fmt.Errorf("%s %s: others than this machine reach this address, and everybody who connects may read and write everything: "+
		"use https with ClientCAFile so that clients need a certificate, or set AllowInsecure if you trust that network", field, raw)
}

// parseAddress reads a scheme, a host and a port.
func parseAddress(field, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil { // it quotes the URL, which may hold a password
		return nil, fmt.Errorf("%s: a URL that can't be parsed: want http://host:port or https://host:port", field)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	bare := url.URL{Scheme: u.Scheme, Host: u.Host}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || err != nil || *u != bare {
		return nil, fmt.Errorf("%s %q: want http://host:port or https://host:port", field, u.Redacted())
	}
	u.Host = net.JoinHostPort(u.Hostname(), strconv.FormatUint(port, 10))
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
