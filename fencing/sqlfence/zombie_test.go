package sqlfence_test

import (
	"context"
	"database/sql"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAZombieIsRefused: a lock on a real etcd, lost by a holder that is stopped where it hurts most, after it has read.
func TestAZombieIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		for name, guarded := range map[string]func(ctx context.Context, db *sql.DB, to int) error{
			"transaction": func(ctx context.Context, db *sql.DB, to int) error {
				return inTx(ctx, db, sql.LevelDefault, func(tx *sql.Tx) error {
					if err := d.Check(ctx, tx); err != nil {
						return err
					}
					_, err := tx.ExecContext(ctx, d.sql("UPDATE account SET balance = ? WHERE id = 1"), to)
					return err
				})
			},
			"row": func(ctx context.Context, db *sql.DB, to int) error {
				return d.Rows("account", "id", "fence").Update(ctx, db, 1, d.sql("balance = ?"), to)
			},
		} {
			t.Run(name, func(t *testing.T) {
				db, _ := ledger(t, d, "CHAR(32)")
				if err := d.Migrate(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				client := recipestest.Client(t)
				recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
					return process(t, client, func(ctx context.Context) error {
						if err := d.Seal(ctx, db); err != nil {
							return err
						}
						left := balance(t, db, 1)
						ctx = pause(ctx)
						return guarded(ctx, db, left-60)
					})
				}, func() error {
					return process(t, client, func(ctx context.Context) error {
						return guarded(ctx, db, balance(t, db, 1)-70)
					})
				})
				if got := balance(t, db, 1); got != 30 {
					t.Errorf("the balance is %d, want 30", got)
				}
			})
		}
	})
}

// process is one of several that share the account.
func process(t *testing.T, client *clientv3.Client, work func(ctx context.Context) error) error {
	t.Helper()
	s, err := session.Open(t.Context(), client)
	if err != nil {
		return err
	}
	defer s.Close(context.Background())
	return lock.Do(t.Context(), s, "account/1", work)
}
