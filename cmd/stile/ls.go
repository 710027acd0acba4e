package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-dev/stile/cmd/stile/internal/term"
	"github.com/stile-dev/stile/recipes/lock"
)

func newLs(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the locks that are held or waited for",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			locks, err := listLocks(cmd, conn)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(locks)
			}
			if len(locks) == 0 {
				_, err = fmt.Fprintln(cmd.ErrOrStderr(), "no locks")
				return err
			}
			return printLocks(cmd.OutOrStdout(), locks, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, with every waiter")
	return cmd
}

func listLocks(cmd *cobra.Command, conn *connection) ([]lock.State, error) {
	client, err := conn.open(cmd)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	locks, err := lock.List(cmd.Context(), client)
	if err != nil {
		return nil, conn.why(cmd.Context(), client, err)
	}
	return locks, nil
}

// printLocks prints a table. What others have stored is printed as text, whatever it is.
func printLocks(w io.Writer, locks []lock.State, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tHOLDER\tTOKEN\tSINCE\tWAITERS")
	for _, l := range locks {
		holder, token, since := "-", "-", "-"
		if h := l.Holder; h != nil {
			holder = fmt.Sprintf("%s:%d", term.Plain(h.Host), h.PID)
			token = h.Token.String()
			since = age(h.Since, now)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\n", term.Plain(l.Name), holder, token, since, len(l.Waiters))
	}
	return t.Flush() // with the first error of all of them
}

// age is how long ago it was, as far as the two clocks agree, in the unit that tells most.
func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := max(0, now.Sub(since))
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
