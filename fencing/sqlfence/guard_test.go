package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// TestEveryDatabaseIsGuarded, at the level that a transaction has by itself.
func TestEveryDatabaseIsGuarded(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
			tb.Helper()
			return guard(tb, d)
		})
	})
}

// guard guards one row of a table.
func guard(tb testing.TB, d database) fencingtest.Guard {
	tb.Helper()
	open := d.fresh(tb)
	db := open()
	mustExec(tb, db, "CREATE TABLE register (id INTEGER PRIMARY KEY, value VARCHAR(200) NOT NULL)")
	mustExec(tb, db, "INSERT INTO register VALUES (1, '')")
	return fencingtest.Guard{
		Gate:   d.Gate(db),
		Reopen: func() fencing.Gate { return d.Gate(open()) },
		Write: func(ctx context.Context, value string) error {
			return inTx(ctx, db, sql.LevelDefault, func(tx *sql.Tx) error {
				if err := d.Check(ctx, tx); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, d.sql("UPDATE register SET value = ? WHERE id = 1"), value)
				return err
			})
		},
		Read: func(ctx context.Context) (value string, err error) {
			return value, db.QueryRowContext(ctx, "SELECT value FROM register").Scan(&value)
		},
	}
}

// inTx is what programs have: it tries again what the database asks to be tried again.
func inTx(ctx context.Context, db *sql.DB, level sql.IsolationLevel, act func(tx *sql.Tx) error) error {
	for {
		err := once(ctx, db, level, act)
		if !conflict(err) {
			return err
		}
	}
}

func once(ctx context.Context, db *sql.DB, level sql.IsolationLevel, act func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := act(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// conflict finds the errors of drivers beneath those of sqlfence.
func conflict(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01"
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number == 1213 || e.Number == 1205 || e.Number == 1020
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == 5
	}
	return false
}
