package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/sqlfence"
)

// An account whose holder is stopped after it has read the balance. Another takes the lock over and withdraws; then the first
// wakes up.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	if err := sqlfence.SQLite.Migrate(ctx, db); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE account AS SELECT 7 AS id, 100 AS balance"); err != nil {
		fmt.Println(err)
		return
	}

	withdraw := func(ctx context.Context, amount int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := sqlfence.SQLite.Check(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance - ? WHERE id = 7", amount); err != nil {
			return err
		}
		return tx.Commit()
	}
	hold := func(rev int64) context.Context { // lock.Do gives its work such a context
		return fencing.NewContext(ctx, fencing.Claim{Resource: "lock/account/7", Token: fencing.FromRevision(rev)})
	}

	stopped, next := hold(41), hold(57)
	fmt.Println("seal:", sqlfence.SQLite.Seal(next, db))
	fmt.Println("next:", withdraw(next, 70))
	fmt.Println("late:", withdraw(stopped, 60))
	fmt.Println("without a hold:", errors.Is(withdraw(ctx, 60), fencing.ErrNoClaim))
	// Output:
	// seal: <nil>
	// next: <nil>
	// late: fencing "lock/account/7": stale fencing token: 41 was presented, 57 was seen
	// without a hold: true
}

// The token is a column of the row that is guarded. One statement does it, without a transaction.
func ExampleRows() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, fence CHAR(32));"+
		"INSERT INTO account VALUES (7, 100, NULL)"); err != nil {
		fmt.Println(err)
		return
	}
	hold := func(rev int64) context.Context {
		return fencing.NewContext(ctx, fencing.Claim{Resource: "lock/account/7", Token: fencing.FromRevision(rev)})
	}

	accounts := sqlfence.SQLite.Rows("account", "id", "fence")
	stopped, next := hold(41), hold(57)
	fmt.Println("seal:", accounts.Seal(next, db, 7)) // before it reads the balance
	fmt.Println("late:", accounts.Update(stopped, db, 7, "balance = balance - ?", 60))
	fmt.Println("next:", accounts.Update(next, db, 7, "balance = balance - ?", 70))
	fmt.Println("no such account:", errors.Is(accounts.Update(next, db, 8, "balance = 0"), sql.ErrNoRows))
	// Output:
	// seal: <nil>
	// late: fencing "lock/account/7": stale fencing token: 41 was presented, 57 was seen
	// next: <nil>
	// no such account: true
}
