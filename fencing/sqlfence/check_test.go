package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/sqlfence"
)

// counted counts what is sent.
type counted struct {
	*sql.Tx
	sent int
}

func (c *counted) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.sent++
	return c.Tx.ExecContext(ctx, query, args...)
}

func (c *counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.sent++
	return c.Tx.QueryRowContext(ctx, query, args...)
}

func begin(tb testing.TB, db *sql.DB, level sql.IsolationLevel) *counted {
	tb.Helper()
	tx, err := db.BeginTx(tb.Context(), &sql.TxOptions{Isolation: level})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tx.Rollback() })
	return &counted{Tx: tx}
}

func commit(tb testing.TB, tx *counted) {
	tb.Helper()
	if err := tx.Commit(); err != nil {
		tb.Errorf("commit: %v", err)
	}
}

// TestACheckIsOneStatement, and what is wrong with the claim costs none.
func TestACheckIsOneStatement(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		refusing := 1
		if d.Dialect == sqlfence.MySQL {
			refusing = 2
		}
		for _, step := range []struct {
			name string
			call func(ctx context.Context, tx sqlfence.Tx) error
			ctx  context.Context
			want error
			sent int
		}{
			{"first", d.Check, holding(t.Context(), "lock/a", 7), nil, 1},
			{"again", d.Check, holding(t.Context(), "lock/a", 7), nil, 1},
			{"larger", d.Check, holding(t.Context(), "lock/a", 8), nil, 1},
			{"smaller", d.Check, holding(t.Context(), "lock/a", 7), fencing.ErrStale, refusing},
			{"read", d.CheckRead, reading(t.Context(), "lock/a", 9), nil, 1},
			{"read by the holder", d.CheckRead, holding(t.Context(), "lock/a", 8), nil, 1},
			{"read with a smaller", d.CheckRead, reading(t.Context(), "lock/a", 7), fencing.ErrStale, 1},
			{"read of the unknown", d.CheckRead, reading(t.Context(), "lock/b", 7), nil, 1},
			{"write of a reader", d.Check, reading(t.Context(), "lock/a", 9), fencing.ErrShared, 0},
			{"no claim", d.Check, t.Context(), fencing.ErrNoClaim, 0},
			{"no claim to read", d.CheckRead, t.Context(), fencing.ErrNoClaim, 0},
			{"too long a name", d.Check, holding(t.Context(), strings.Repeat("x", sqlfence.MaxResource+1), 9), fencing.ErrBadClaim, 0},
			{"a name that is no text", d.Check, holding(t.Context(), "lock/\xff", 9), fencing.ErrBadClaim, 0},
			{"a name with a NUL", d.Check, holding(t.Context(), "lock/\x00", 9), fencing.ErrBadClaim, 0},
			{"the longest name", d.Check, holding(t.Context(), strings.Repeat("x", sqlfence.MaxResource), 9), nil, 1},
		} {
			tx := begin(t, db, sql.LevelDefault)
			if err := step.call(step.ctx, tx); !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
			if tx.sent != step.sent {
				t.Errorf("%s: %d statements, want %d", step.name, tx.sent, step.sent)
			}
			commit(t, tx)
		}
	})
}

// TestARefusalSaysWhatWasSeen, also to a transaction that had begun to read before: unless the database itself refuses that one.
func TestARefusalSaysWhatWasSeen(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		token, err := fencing.Parse("3:9223372036854775807.4294967295")
		if err != nil {
			t.Fatal(err)
		}
		larger := fencing.NewContext(t.Context(), fencing.Claim{Resource: "lock/a", Token: token})
		want := fencing.StaleError{Resource: "lock/a", Seen: token, Presented: fencing.FromRevision(7)}
		for _, level := range d.levels {
			db := d.fresh(t)()
			if err := d.Seal(holding(t.Context(), "lock/a", 7), db); err != nil {
				t.Fatal(err)
			}
			tx := begin(t, db, level)
			if d.Dialect != sqlfence.SQLite { // there nobody writes once it has begun
				if err := d.CheckRead(holding(t.Context(), "lock/a", 7), tx); err != nil {
					t.Fatal(err)
				}
			} else if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if d.Dialect == sqlfence.MySQL && level == sql.LevelSerializable {
				continue // there nobody writes what it has read
			}
			if err := d.Seal(larger, db); err != nil {
				t.Fatal(err)
			}
			if d.Dialect == sqlfence.SQLite {
				tx = begin(t, db, level)
			}
			err := d.Check(holding(t.Context(), "lock/a", 7), tx)
			if stale, ok := errors.AsType[*fencing.StaleError](err); (!ok || *stale != want) && !conflict(err) {
				t.Errorf("%v: %v, want %v", level, err, &want)
			}
		}
	})
}

// TestARefusalRemembersNothing, even if its transaction is committed.
func TestARefusalRemembersNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		for _, sealer := range []context.Context{holding(t.Context(), "lock/a", 5), reading(t.Context(), "lock/a", 9)} {
			if err := d.Seal(sealer, db); err != nil {
				t.Fatal(err)
			}
		}
		tx := begin(t, db, sql.LevelDefault)
		if err := d.Check(holding(t.Context(), "lock/a", 7), tx); !errors.Is(err, fencing.ErrStale) {
			t.Errorf("Check after a reader with a larger token: %v", err)
		}
		commit(t, tx)
		if err := d.Seal(reading(t.Context(), "lock/a", 6), db); err != nil {
			t.Errorf("a reader between the writers: %v", err)
		}
	})
}

// TestARollbackForgets: a token counts with the write that it is for.
func TestARollbackForgets(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		tx := begin(t, db, sql.LevelDefault)
		if err := d.Check(holding(t.Context(), "lock/a", 9), tx); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := d.Gate(db).Check(holding(t.Context(), "lock/a", 7)); err != nil {
			t.Errorf("a smaller token: %v", err)
		}
	})
}

// TestSealWaitsForAnEarlierHoldersTransaction, no longer than its ctx, and says why it stopped.
func TestSealWaitsForAnEarlierHoldersTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		if d.Dialect == sqlfence.SQLite {
			mustExec(t, db, "PRAGMA busy_timeout = 0") // of the connection that is idle now and begins next
		}
		earlier := begin(t, db, sql.LevelDefault)
		if err := d.Check(holding(t.Context(), "lock/a", 7), earlier); err != nil {
			t.Fatal(err)
		}
		why := errors.New("the hold was lost")
		ctx, cancel := context.WithTimeoutCause(holding(t.Context(), "lock/a", 9), 100*time.Millisecond, why)
		defer cancel()
		err := d.Seal(ctx, db)
		if d.Dialect != sqlfence.SQLite && (!errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why)) {
			t.Errorf("Seal = %v, want the deadline and its cause", err)
		}
		if err == nil {
			t.Error("Seal has not waited")
		}
		commit(t, earlier)
		if err := d.Seal(holding(t.Context(), "lock/a", 9), db); err != nil {
			t.Errorf("Seal: %v", err)
		}
	})
}

// TestWhatWasReadBeforeCheckReadIsCovered: a later holder has committed in between.
func TestWhatWasReadBeforeCheckReadIsCovered(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		if d.Dialect == sqlfence.SQLite {
			t.Skip("SQLite: its transactions begin with BEGIN IMMEDIATE here, nobody writes meanwhile")
		}
		for _, level := range d.levels {
			db := d.fresh(t)()
			mustExec(t, db, "CREATE TABLE account (balance INTEGER NOT NULL)")
			mustExec(t, db, "INSERT INTO account VALUES (100)")
			reader := begin(t, db, level)
			read := func() (balance int) {
				if err := reader.QueryRowContext(t.Context(), "SELECT balance FROM account").Scan(&balance); err != nil {
					t.Fatal(err)
				}
				return balance
			}
			if level == sql.LevelSerializable && d.Dialect == sqlfence.MySQL {
				continue // what has been read there nobody writes
			}
			read()
			err := inTx(t.Context(), db, sql.LevelDefault, func(tx *sql.Tx) error {
				if err := d.Check(holding(t.Context(), "lock/a", 9), tx); err != nil {
					return err
				}
				_, err := tx.ExecContext(t.Context(), "UPDATE account SET balance = 30")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			admitted := d.CheckRead(reading(t.Context(), "lock/a", 7), reader)
			if after := read(); level >= sql.LevelRepeatableRead && (admitted != nil || after != 100) {
				t.Errorf("%v: %v, read %d, want one state of the database, that of before", level, admitted, after)
			} else if level <= sql.LevelReadCommitted && !errors.Is(admitted, fencing.ErrStale) {
				t.Errorf("%v: %v, want ErrStale", level, admitted)
			}
		}
	})
}

// TestReadsNeedNoRightToWrite.
func TestReadsNeedNoRightToWrite(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: d.Dialect != sqlfence.SQLite})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := d.CheckRead(reading(t.Context(), "lock/a", 7), tx); err != nil {
			t.Error(err)
		}
		if err := d.Check(holding(t.Context(), "lock/a", 7), tx); err == nil && d.Dialect != sqlfence.SQLite {
			t.Error("Check in a read-only transaction: nil")
		}
	})
}

// TestATransactionOfTheCallersOwn, begun by a statement.
func TestATransactionOfTheCallersOwn(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.fresh(t)()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		how := "BEGIN"
		if d.Dialect == sqlfence.SQLite {
			how = "BEGIN IMMEDIATE"
		}
		for _, end := range []struct {
			how  func(tx sqlfence.Tx) error
			want error // of a smaller token later
		}{{sqlfence.Tx.Rollback, nil}, {sqlfence.Tx.Commit, fencing.ErrStale}} {
			mustExec(t, conn, how)
			tx := sqlfence.Begun(conn)
			if err := d.Check(holding(t.Context(), "lock/a", 9), tx); err != nil {
				t.Error(err)
			}
			if err := end.how(tx); err != nil {
				t.Error(err)
			}
			if err := d.Gate(db).Check(holding(t.Context(), "lock/a", 7)); !errors.Is(err, end.want) {
				t.Errorf("a smaller token: %v, want %v", err, end.want)
			}
		}
	})
}

// TestWhatIsATransaction: a *sql.DB does not even compile where one is wanted, nor a transaction where it would have to be committed.
func TestWhatIsATransaction(t *testing.T) {
	for name, test := range map[string]struct {
		value    any
		tx, seal bool
	}{
		"*sql.DB":   {(*sql.DB)(nil), false, true},
		"*sql.Conn": {(*sql.Conn)(nil), false, true},
		"*sql.Tx":   {(*sql.Tx)(nil), true, false},
		"Begun":     {sqlfence.Begun(nil), true, false},
	} {
		if _, ok := test.value.(sqlfence.Tx); ok != test.tx {
			t.Errorf("%s is a Tx: %t, want %t", name, ok, test.tx)
		}
		if _, ok := test.value.(sqlfence.DB); ok != test.seal {
			t.Errorf("%s is a DB: %t, want %t", name, ok, test.seal)
		}
	}
}

// TestWhatIsNotThere is an error, and nothing else.
func TestWhatIsNotThere(t *testing.T) {
	ctx := holding(t.Context(), "lock/a", 7)
	for _, d := range []sqlfence.Dialect{0, 4, sqlfence.PostgreSQL, sqlfence.MySQL, sqlfence.SQLite} {
		rows := d.Rows("account", "id", "fence")
		for name, err := range map[string]error{
			"Check":     d.Check(ctx, nil),
			"CheckRead": d.CheckRead(ctx, nil),
			"Seal":      d.Seal(ctx, nil),
			"Migrate":   d.Migrate(ctx, nil),
			"Gate":      d.Gate(nil).CheckRead(ctx),
			"Update":    rows.Update(ctx, nil, 1, "a = 1"),
			"Rows.Seal": rows.Seal(ctx, nil, 1),
		} {
			if err == nil || !strings.Contains(err.Error(), "sqlfence") {
				t.Errorf("%v: %s of nothing: %v", d, name, err)
			}
		}
	}
}

// TestWithoutTheTable nothing is admitted, and the driver's error says why.
func TestWithoutTheTable(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.empty(t)()
		ctx := holding(t.Context(), "lock/a", 7)
		for name, call := range map[string]func(context.Context) error{"Check": d.Gate(db).Check, "CheckRead": d.Gate(db).CheckRead, "Seal": d.Gate(db).Seal} {
			if err := call(ctx); err == nil || !strings.Contains(err.Error(), "stile_fence") {
				t.Errorf("%s: %v, want what is missing", name, err)
			}
		}
	})
}
