package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-dev/stile/cmd/stile/internal/child"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// The exit codes of stile lock, beside the command's own.
const (
	exitNotAcquired = 75 // EX_TEMPFAIL of sysexits.h: try again later
	exitLost        = 76
	exitWrapper     = 125 // as env(1) and timeout(1) have it
)

const lockHelp = `Run a command while holding a lock.

The command has this one's input and output, and two variables more:
  STILE_LOCK_NAME      the lock's name
  STILE_FENCING_TOKEN  a number that rises from holder to holder: let what the command
                       writes to refuse a smaller one than it has seen

Signals are passed on to it. If the lock is lost the command is asked to end (SIGTERM), and is killed
after --grace: when etcd is away, that is over before anybody else can get the lock. If somebody has
taken the lock away in etcd, others may have it during the grace already.

A command that forks and ends frees the lock while its child goes on, unlike flock(1).

Exit codes: the command's own, or 128 and the number of the signal that it died by
   75  the lock was not acquired: -n, -w (-E sets another code)
   76  the lock was lost and the command stopped, whatever it returned
   64  wrong usage   125  other errors   126  the command can't be run   127  it wasn't found`

const (
	minTTL  = 4 * time.Second // three margins are less than that, and of 3 s more
	cleanup = 3 * time.Second // for a release and for the session's end, each, when etcd is away
)

// lockOptions are the flags of stile lock.
type lockOptions struct {
	nonblock bool
	wait     time.Duration
	conflict int
	ttl      time.Duration
	grace    time.Duration
}

func newLock(conn *connection) *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:     "lock NAME [flags] -- COMMAND [ARGUMENT]...",
		Short:   "Run a command while holding a lock",
		Long:    lockHelp,
		Example: "  stile lock reports/nightly -- ./report.sh --full\n  stile lock reports/nightly -n -- ./report.sh",
		Args:    lockArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLock(cmd, conn, o, args[0], args[1:])
		},
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.nonblock, "nonblock", "n", false, "don't wait: fail at once if somebody has the lock or waits for it")
	f.DurationVarP(&o.wait, "wait", "w", 0, "wait no longer than `DURATION` (default: as long as it takes)")
	f.IntVarP(&o.conflict, "conflict-exit-code", "E", exitNotAcquired, "exit with `CODE` when the lock was not acquired")
	f.DurationVar(&o.ttl, "ttl", 15*time.Second, "how long others wait when this machine dies, at least 4s")
	f.DurationVar(&o.grace, "grace", 0, "time to end after SIGTERM when the lock was lost (default: up to 3s, as the TTL allows)")
	return cmd
}

func lockArgs(cmd *cobra.Command, args []string) error {
	switch dash := cmd.ArgsLenAtDash(); {
	case dash < 0 && len(args) > 1:
		return usageError(cmd, "put -- before the command: stile lock %s -- %s", args[0], args[1])
	case dash == 0, len(args) == 0:
		return usageError(cmd, "the name of the lock is missing")
	case dash > 1:
		return usageError(cmd, "one name before --, got %d", dash)
	case len(args) < 2:
		return usageError(cmd, "the command is missing: stile lock %s -- COMMAND", args[0])
	}
	return nil
}

// session is what the flags ask for, or what is wrong with them. The margin has room for the grace, so that a command has
// ended before etcd may give the lock to somebody else.
func (o *lockOptions) session(cmd *cobra.Command) ([]session.Option, error) {
	margin := o.ttl/100 + 1100*time.Millisecond // session.Margin's default
	room := (o.ttl/3 - margin).Truncate(time.Millisecond)
	switch {
	case cmd.Flags().Changed("wait") && o.wait <= 0:
		return nil, usageError(cmd, "--wait %v: it must be positive; -n doesn't wait", o.wait)
	case o.nonblock && o.wait > 0:
		return nil, usageError(cmd, "--nonblock and --wait exclude each other")
	case o.conflict < 0 || o.conflict > 255:
		return nil, usageError(cmd, "--conflict-exit-code %d: want 0 to 255", o.conflict)
	case o.grace < 0:
		return nil, usageError(cmd, "--grace %v: it must not be negative", o.grace)
	case o.ttl < minTTL:
		return nil, usageError(cmd, "--ttl %v: want at least %v", o.ttl, minTTL)
	case o.grace > room:
		return nil, usageError(cmd, "--grace %v: with --ttl %v there is time for %v", o.grace, o.ttl, room)
	}
	if !cmd.Flags().Changed("grace") {
		o.grace = max(0, min(3*time.Second, room))
	}
	return []session.Option{session.TTL(o.ttl), session.Margin(margin + o.grace), session.CleanupTimeout(cleanup)}, nil
}

func runLock(cmd *cobra.Command, conn *connection, o lockOptions, name string, command []string) error {
	opts, err := o.session(cmd)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return &exitCode{child.StartCode(err), fmt.Errorf("%s: %w", command[0], startReason(err))}
	}
	client, err := conn.open(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := session.New(client, opts...)
	if err != nil {
		return usageError(cmd, "%w", err)
	}
	if err := checkName(s, name); err != nil {
		return usageError(cmd, "%w", err)
	}
	why := func(err error) error { return conn.why(cmd.Context(), client, err) }
	w := &wrapper{options: o, name: name, session: s, why: why, command: child.Command{Path: path, Args: command, Grace: o.grace}}
	return w.run(cmd.Context())
}

// checkName refuses a bad name without a request: an acquisition looks at the name first, and then at its ctx, which has ended.
func checkName(s *session.Session, name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := lock.TryAcquire(ctx, s, name)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// startReason is err without the path that the message names already.
func startReason(err error) error {
	if exec, ok := errors.AsType[*exec.Error](err); ok {
		return exec.Err
	}
	return err
}
