package sqlfence_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/sqlfence"
)

// ledger makes a table whose rows have tokens in a column of that type.
func ledger(t *testing.T, d database, column string) (*sql.DB, sqlfence.Rows) {
	t.Helper()
	db := d.empty(t)()
	mustExec(t, db, "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note VARCHAR(40), fence "+column+")")
	mustExec(t, db, "INSERT INTO account (id, balance) VALUES (1, 100), (2, 100)")
	return db, d.Rows("account", "id", "fence")
}

func balance(t *testing.T, db *sql.DB, id int) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT balance FROM account WHERE id = "+string(rune('0'+id))).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestARowRefusesSmallerTokens.
func TestARowRefusesSmallerTokens(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db, rows := ledger(t, d, "CHAR(32)")
		for _, step := range []struct {
			name  string
			token int64
			set   string
			args  []any
			want  error
			left  int
		}{
			{"the first token", 9, d.sql("balance = balance - ?, note = ?"), []any{10, "x"}, nil, 90},
			{"the same", 9, d.sql("balance = balance - ?"), []any{10}, nil, 80},
			{"the same, to what it is", 9, "balance = 80", nil, nil, 80},
			{"a larger one, to what it is", 10, "balance = 80", nil, nil, 80},
			{"a smaller one", 9, "balance = 0", nil, fencing.ErrStale, 80},
			{"a smaller one, to what it is", 9, "balance = 80", nil, fencing.ErrStale, 80},
			{"a larger one", 11, "balance = balance - 1", nil, nil, 79},
		} {
			if err := rows.Update(holding(t.Context(), "account/1", step.token), db, 1, step.set, step.args...); !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
			if got := balance(t, db, 1); got != step.left {
				t.Errorf("%s: the balance is %d, want %d", step.name, got, step.left)
			}
		}
		if got := balance(t, db, 2); got != 100 {
			t.Errorf("the other row has changed: %d", got)
		}
		if err := rows.Seal(holding(t.Context(), "account/1", 13), db, 1); err != nil {
			t.Errorf("Seal: %v", err)
		}
		want := fencing.StaleError{Resource: "account/1", Seen: fencing.FromRevision(13), Presented: fencing.FromRevision(12)}
		err := rows.Update(holding(t.Context(), "account/1", 12), db, 1, "balance = 0")
		if stale, ok := errors.AsType[*fencing.StaleError](err); !ok || *stale != want {
			t.Errorf("after Seal: %v, want %v", err, &want)
		}
	})
}

// TestWhatIsWrongWithARow.
func TestWhatIsWrongWithARow(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db, rows := ledger(t, d, "CHAR(32)")
		ctx := holding(t.Context(), "account/1", 9)
		for name, step := range map[string]struct{ got, want error }{
			"no such row":         {rows.Update(ctx, db, 3, "balance = 0"), sql.ErrNoRows},
			"no such row to seal": {rows.Seal(ctx, db, 3), sql.ErrNoRows},
			"a reader":            {rows.Update(reading(t.Context(), "account/1", 9), db, 1, "balance = 0"), fencing.ErrShared},
			"no claim":            {rows.Update(t.Context(), db, 1, "balance = 0"), fencing.ErrNoClaim},
		} {
			if !errors.Is(step.got, step.want) {
				t.Errorf("%s: %v, want %v", name, step.got, step.want)
			}
		}
		for name, err := range map[string]error{
			"an argument too few": rows.Update(ctx, db, 1, d.sql("note = ?")),
			"two too few":         rows.Update(ctx, db, 1, d.sql("note = ?, balance = ?")),
			"one too many":        rows.Update(ctx, db, 1, "balance = 1", 5),
			"no assignment":       rows.Update(ctx, db, 1, " "),
			"not unique":          d.Rows("account", "balance", "fence").Update(ctx, db, 100, "note = 'x'"),
			"no SQL":              rows.Update(ctx, db, 1, "balance = "),
		} {
			if err == nil {
				t.Errorf("%s: nil", name)
			}
		}
		if got := balance(t, db, 1); got != 100 {
			t.Errorf("the balance is %d", got)
		}
	})
}

// TestAColumnThatKeepsNoTokens is noticed at the second write at the latest.
func TestAColumnThatKeepsNoTokens(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		for _, column := range []string{"INTEGER", "BIGINT", "VARCHAR(16)"} {
			if d.Dialect == sqlfence.SQLite && strings.HasPrefix(column, "VARCHAR") {
				continue // keeps it
			}
			db, rows := ledger(t, d, column)
			if d.Dialect == sqlfence.MySQL {
				db.SetMaxOpenConns(1)
				mustExec(t, db, "SET SESSION sql_mode = ''") // as careless as it gets
			}
			first := rows.Seal(holding(t.Context(), "account/1", 0x1000), db, 1)
			second := rows.Seal(holding(t.Context(), "account/1", 0x1001), db, 1)
			if first == nil && second == nil {
				t.Errorf("%s: nobody has noticed", column)
			}
		}
	})
}

// TestRowsInARace: many holders write one row at once, each a number that is its token.
func TestRowsInARace(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db, rows := ledger(t, d, "VARCHAR(40)")
		const holders, writes = 6, 40
		var all sync.WaitGroup
		for h := range holders {
			all.Go(func() {
				for n := range writes {
					token := int64(9 + n*holders + (h+n)%holders)
					err := rows.Update(holding(t.Context(), "account/1", token), db, 1, d.sql("balance = ?"), token)
					if err != nil && !errors.Is(err, fencing.ErrStale) && !conflict(err) {
						t.Errorf("token %d: %v", token, err)
					}
					if got := balance(t, db, 1); err == nil && int64(got) < token {
						t.Errorf("the value is %d after %d was written", got, token)
					}
				}
			})
		}
		all.Wait()
		if got, most := balance(t, db, 1), 9+writes*holders-1; got != most {
			t.Errorf("the value is %d, want %d, that of the largest token", got, most)
		}
	})
}
