package server

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	// loneName and lonePeerURL stand in the member list of a member that is alone. Nobody listens there.
	loneName    = "stile"
	lonePeerURL = embed.DefaultListenPeerURLs

	defaultClusterToken = "stile"
)

var errLargerCluster = errors.New("no Cluster is set, and the store belongs to a member of a larger cluster")

// checkCluster looks at all that makes a member of a cluster, and fills in peer.
func (s *settings) checkCluster() error {
	if len(s.Cluster) == 0 {
		return s.checkAlone()
	}
	var errs []error
	if _, ok := s.Cluster[s.Name]; !ok {
		errs = append(errs, fmt.Errorf("no member %q in Cluster: Name says which of them this one is", s.Name))
	}
	if s.Temporary {
		errs = append(errs, errors.New("a Cluster needs DataDir: a member that forgot what it has agreed to could make the others forget too"))
	}
	errs = append(errs, s.checkPeerTLS(), s.checkMembers())
	if s.PeerURL != "" { // it is without a known name
		u, err := s.parsePeerURL("PeerURL", s.PeerURL)
		s.peer = u
		if s.PeerURL != s.Cluster[s.Name] { // which was looked at
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkAlone refuses what means nothing without Cluster, rather than to start a member that is not what
// somebody thinks it is.
func (s *settings) checkAlone() error {
	for field, set := range map[string]bool{
		"Name": s.Name != "", "PeerURL": s.PeerURL != "", "Join": s.Join, "ClusterToken": s.ClusterToken != "",
		"PeerCertFile": s.PeerCertFile != "", "PeerKeyFile": s.PeerKeyFile != "", "PeerCAFile": s.PeerCAFile != "",
	} {
		if set {
			return fmt.Errorf("%s needs Cluster, which names the members", field)
		}
	}
	return nil
}

func (s *settings) checkPeerTLS() error {
	set := 0
	for _, file := range []string{s.PeerCertFile, s.PeerKeyFile, s.PeerCAFile} {
		if file != "" {
			set++
		}
	}
	switch {
	case set != 0 && set != 3:
		return errors.New("PeerCertFile, PeerKeyFile and PeerCAFile go together")
	case set == 3 && !strings.HasPrefix(s.PeerURL, "https:"):
		return errors.New("PeerCertFile is set, but PeerURL is not https")
	}
	return nil
}

// checkMembers looks at the members' names and URLs. No two may share a URL.
func (s *settings) checkMembers() error {
	var errs []error
	at := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Cluster)) {
		if name == "" || strings.ContainsAny(name, "=,") {
			errs = append(errs, fmt.Errorf("the name %q in Cluster: want one without '=' and ','", name))
		}
		u, err := s.parsePeerURL("Cluster: "+name, s.Cluster[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, ok := at[u.String()]; ok {
			errs = append(errs, fmt.Errorf("members %s and %s of Cluster have the same URL %s", other, name, u))
		}
		at[u.String()] = name
	}
	return errors.Join(errs...)
}

// parsePeerURL reads an address at which members talk to one another, and refuses one where others could
// join in.
func (s *settings) parsePeerURL(field, raw string) (*url.URL, error) {
	u, err := parseAddress(field, raw)
	switch {
	case err != nil:
		return nil, err
	case u.Port() == "0":
		return nil, fmt.Errorf("%s %s: port 0 is one that the others can't know", field, raw)
	case u.Scheme == "https" && s.PeerCAFile == "":
		return nil, fmt.Errorf("%s %s: https needs PeerCertFile, PeerKeyFile and PeerCAFile", field, raw)
	case u.Scheme == "https" || isLoopback(u.Hostname()) || s.AllowInsecure:
		return u, nil
	}
	return nil, fmt.Errorf("%s %s: others than this machine reach this address, and everybody who connects could pass for a member: "+
		"use https with PeerCAFile so that members need a certificate, or set AllowInsecure if you trust that network", field, raw)
}

// membership tells etcd whom it forms a cluster with.
func (s *settings) membership(c *embed.Config, log *zap.Logger) {
	name, cluster, token := s.Name, s.Cluster, s.ClusterToken
	switch {
	case len(cluster) == 0:
		name, cluster = loneName, map[string]string{loneName: lonePeerURL}
		token = rand.Text() // so that no two stores share a cluster id
	case token == "":
		token = defaultClusterToken // the ids are made of the URLs, too
	}
	own, _ := url.Parse(cluster[name]) // it was checked
	c.Name, c.AdvertisePeerUrls = name, []url.URL{*own}
	var members []string
	for _, member := range slices.Sorted(maps.Keys(cluster)) {
		members = append(members, member+"="+cluster[member])
	}
	c.InitialCluster, c.InitialClusterToken = strings.Join(members, ","), token
	if s.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	c.PeerTLSInfo = s.peerTLS(log)
}

func (s *settings) peerTLS(log *zap.Logger) transport.TLSInfo {
	if s.PeerCAFile == "" {
		return transport.TLSInfo{Logger: log}
	}
	return transport.TLSInfo{
		CertFile: s.PeerCertFile, KeyFile: s.PeerKeyFile,
		TrustedCAFile: s.PeerCAFile, ClientCertAuth: true,
		MinVersion: tls.VersionTLS12, Logger: log,
	}
}

// advertised is the URL that the member list shows for a client address: one that stands for all
// addresses of this machine is reached where the members reach it.
func (s *settings) advertised(u url.URL, listening *url.URL) url.URL {
	ip := net.ParseIP(listening.Hostname())
	if s.peer == nil || ip == nil || !ip.IsUnspecified() {
		return u
	}
	own, _ := url.Parse(s.Cluster[s.Name]) // it was checked
	u.Host = net.JoinHostPort(own.Hostname(), u.Port())
	return u
}

// otherVoters counts the members that vote, without this one.
func (n *node) otherVoters() int {
	others := 0
	for _, m := range n.etcd.Server.Cluster().Members() {
		if m.ID != n.etcd.Server.MemberID() && !m.IsLearner {
			others++
		}
	}
	return others
}

// refuseAlone refuses, once all that the store knows is known, a store that was that of a member alone:
// etcd would go on so, and three of them would be three clusters.
func (n *node) refuseAlone() error {
	if named := len(n.settings.Cluster); named > 1 && n.otherVoters() == 0 {
		return fmt.Errorf("etcd in %s: the store belongs to a cluster of one member, and Cluster names %d: "+
			"start it with itself alone in Cluster and add the others one by one, or use an empty directory", n.dir.path, named)
	}
	return nil
}
