package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/cmd/stile/internal/app"
	"github.com/stile-dev/stile/cmd/stile/internal/proc"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

const serveHelp = `Run an etcd server, until SIGINT or SIGTERM.

It listens on this machine alone. An address that others reach needs --cert-file, --key-file and
--client-ca-file, or --allow-insecure on a network that is trusted.

With --cluster it is one of several that stand in for each other: give each the same --cluster, a --name
of its own, and --peer-cert-file, --peer-key-file and --peer-ca-file where the addresses are not those of
this machine alone. Start them at one time: each waits until most of them run. See docs/cluster.md.`

// patience is how long the other members may take to come before people are told whom this one waits for.
const patience = 3 * time.Second

// startTimeout is how long a server may take to read its data.
const startTimeout = 10 * time.Minute

// serveOptions are the flags of stile serve.
type serveOptions struct {
	server     server.Config
	json       bool
	verbose    bool
	sweepEvery time.Duration
}

func newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve (--data-dir DIR | --temporary)",
		Short: "Run an etcd server",
		Long:  serveHelp,
		Example: "  stile serve --data-dir /var/lib/stile\n  stile serve --temporary --listen http://127.0.0.1:0\n" +
			"  stile serve --data-dir a --listen http://127.0.0.1:2379 --name a --cluster a=http://127.0.0.1:2380,b=http://127.0.0.1:2382,c=http://127.0.0.1:2384",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *serveOptions) addFlags(cmd *cobra.Command) {
	f, c := cmd.Flags(), &o.server
	f.StringVar(&c.DataDir, "data-dir", "", "`DIR` of the data; it is created if it isn't there")
	f.BoolVar(&c.Temporary, "temporary", false, "keep the data in a temporary directory, removed at the end")
	f.StringArrayVar(&c.ClientURLs, "listen", []string{server.DefaultClientURL}, "`URL` to listen on, may be repeated; port 0 picks a free one")
	f.StringVar(&c.HTTPURL, "http", "", "`URL` to serve metrics and health on (default: off)")
	f.BoolVar(&c.HTTPGateway, "http-gateway", false, "serve etcd's JSON API there too")
	f.StringVar(&c.CertFile, "cert-file", "", "server certificate `FILE` (PEM)")
	f.StringVar(&c.KeyFile, "key-file", "", "server key `FILE` (PEM)")
	f.StringVar(&c.ClientCAFile, "client-ca-file", "", "`FILE` of the authorities whose clients are let in (PEM)")
	f.BoolVar(&c.AllowInsecure, "allow-insecure", false, "let everybody who can connect read and write everything")
	f.StringToStringVar(&c.Cluster, "cluster", nil, "be a member of a cluster: `NAME=URL,...`, where the members reach each other")
	f.Lookup("cluster").DefValue = "" // not []
	f.StringVar(&c.Name, "name", "", "which of the cluster's members this one is")
	f.StringVar(&c.PeerURL, "peer-url", "", "`URL` to listen on for the other members (default: its own in --cluster)")
	f.BoolVar(&c.Join, "join", false, "the cluster exists, and this member was added to it")
	f.StringVar(&c.ClusterToken, "cluster-token", "", "tells this cluster from an earlier one at the same addresses")
	f.StringVar(&c.PeerCertFile, "peer-cert-file", "", "certificate `FILE` to show the other members (PEM)")
	f.StringVar(&c.PeerKeyFile, "peer-key-file", "", "its key `FILE` (PEM)")
	f.StringVar(&c.PeerCAFile, "peer-ca-file", "", "`FILE` of the authorities of the members (PEM)")
	f.DurationVar(&c.ElectionTimeout, "election-timeout", 0, fmt.Sprintf("1.5 of it is the smallest TTL, in whole seconds (default %v, in a cluster %v)",
		server.DefaultElectionTimeout, server.ClusterElectionTimeout))
	f.DurationVar(&c.CompactionHistory, "history", server.DefaultCompactionHistory, "how long old revisions are kept")
	f.Int64Var(&c.QuotaBytes, "quota-bytes", server.DefaultQuotaBytes, "size that the database may reach")
	f.BoolVar(&o.json, "json", false, "print JSON lines")
	f.BoolVar(&o.verbose, "verbose", false, "print etcd's logs to standard error")
	f.DurationVar(&o.sweepEvery, "sweep-every", 5*time.Minute, "how often to look for what crashed clients left")
	f.Lookup("sweep-every").Hidden = true
}

func (o *serveOptions) run(cmd *cobra.Command) error {
	if o.server.Temporary == (o.server.DataDir != "") {
		return usageError(cmd, "want --data-dir DIR, or --temporary for data that is removed at the end")
	}
	if o.sweepEvery <= 0 {
		return usageError(cmd, "--sweep-every %v: it must be positive", o.sweepEvery)
	}
	if _, err := server.New(o.server); err != nil { // it looks at the configuration alone
		return usageError(cmd, "%s", inFlags(err))
	}
	o.setLogger()
	log := cmp.Or(o.server.Logger, slog.New(slog.DiscardHandler))
	say := speaker{cmd.OutOrStdout(), o.json}
	proc.SurvivePipes() // or there is nobody to clean up
	ctx, cancel := untilSignal(cmd.Context())
	defer cancel()
	started, goOn := false, func() bool { return true }
	waiting := o.sayWaiting(cmd.ErrOrStderr())
	defer waiting.Stop()
	err := app.Run(ctx,
		fx.StartTimeout(startTimeout),
		serverfx.Server(o.server),
		fx.Invoke(func(s *server.Server) { goOn = giveUp(ctx, s) }),
		stilefx.Run("sweep", func(ctx context.Context, client *clientv3.Client) error {
			sweep(ctx, client, o.sweepEvery, log)
			return nil
		}),
		fx.Invoke(func(lc fx.Lifecycle, s *server.Server) {
			lc.Append(fx.StartHook(func() error {
				waiting.Stop()
				started = goOn()
				return say.ready(s)
			}))
		}),
	)
	goOn() // or the end of this function would close the server once more
	if err != nil && ctx.Err() != nil && !started {
		return &exitCode{exitInterrupted, fmt.Errorf("interrupted while starting: %w", err)}
	}
	if err != nil {
		return err
	}
	return say.stopped()
}

// sayWaiting tells people in a while, unless it is stopped, why the server doesn't serve yet.
func (o *serveOptions) sayWaiting(out io.Writer) *time.Timer {
	return time.AfterFunc(patience, func() {
		if n := len(o.server.Cluster); n > 1 {
			_, _ = fmt.Fprintf(out, "stile: waiting until most of the %d members run and reach each other\n", n)
		}
	})
}

// giveUp ends the start of s when ctx ends before goOn is called: it may take as long as it likes, waiting for the other members of a
// larger cluster, say. goOn tells whether the start was left alone.
func giveUp(ctx context.Context, s *server.Server) (goOn func() bool) {
	return context.AfterFunc(ctx, func() {
		_ = s.Close(context.WithoutCancel(ctx)) // the application closes it, too, and sees how that went
	})
}

// inFlags is an error about a server.Config in the words of the command line.
func inFlags(err error) string {
	text := strings.TrimPrefix(err.Error(), "server: ")
	return strings.NewReplacer(
		"\n", "; ",
		"set AllowInsecure", "give --allow-insecure",
		"PeerCertFile", "--peer-cert-file",
		"PeerKeyFile", "--peer-key-file",
		"PeerCAFile", "--peer-ca-file",
		"PeerURL", "--peer-url",
		"Name needs", "--name needs",
		"Name says", "--name says",
		"Join needs", "--join needs",
		"ClusterToken", "--cluster-token",
		"Cluster", "--cluster",
		"ClientURLs", "--listen",
		"HTTPGateway", "--http-gateway",
		"HTTPURL", "--http",
		"CompactionHistory", "--history",
		"ClientCAFile", "--client-ca-file",
		"CertFile", "--cert-file",
		"KeyFile", "--key-file",
		"AllowInsecure", "--allow-insecure",
		"QuotaBytes", "--quota-bytes",
		"ElectionTimeout", "--election-timeout",
		"DataDir", "--data-dir",
	).Replace(text)
}

// setLogger sets none unless it is asked for: without one the server leaves etcd's last words on standard error, when the disk is
// full, say.
func (o *serveOptions) setLogger() {
	if o.verbose {
		o.server.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
}

// sweep goes round until ctx ends. Reading the locks removes what crashed holders left of them.
func sweep(ctx context.Context, client *clientv3.Client, every time.Duration, log *slog.Logger) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		locks, err := lock.List(ctx, client)
		if err != nil {
			log.Warn("sweep", "err", err)
			continue
		}
		log.Info("sweep", "locks", len(locks))
	}
}

// speaker tells people, or programs, how the server is.
type speaker struct {
	out  io.Writer
	json bool
}

func (p speaker) ready(s *server.Server) error {
	endpoint := strings.Join(s.Endpoints(), ",")
	if !p.json {
		_, err := fmt.Fprintf(p.out, "serving etcd at %s, data in %s%s\n", endpoint, s.DataDir(), alsoHTTP(s.HTTPEndpoint()))
		return err
	}
	return json.NewEncoder(p.out).Encode(struct {
		Event     string   `json:"event"`
		Endpoints []string `json:"endpoints"`
		HTTP      string   `json:"http,omitempty"`
		DataDir   string   `json:"data_dir"`
	}{"ready", s.Endpoints(), s.HTTPEndpoint(), s.DataDir()})
}

func alsoHTTP(endpoint string) string {
	if endpoint == "" {
		return ""
	}
	return ", HTTP at " + endpoint
}

func (p speaker) stopped() error {
	text := "stopped"
	if p.json {
		text = `{"event":"stopped"}`
	}
	_, err := fmt.Fprintln(p.out, text)
	return err
}
