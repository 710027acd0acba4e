package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

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
func (c *connection) open() (*clientv3.Client, error) {
	endpoints := c.endpoints
	if env := os.Getenv(endpointEnv); len(endpoints) == 0 && env != "" {
		endpoints = strings.Split(env, ",")
	}
	if len(endpoints) == 0 {
		endpoints = []string{server.DefaultClientURL}
	}
	for _, e := range endpoints {
		if strings.TrimSpace(e) == "" {
			return nil, errors.New("an endpoint is empty: want a URL such as " + server.DefaultClientURL)
		}
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", strings.Join(endpoints, ","), err)
	}
	return client, nil
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
