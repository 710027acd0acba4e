// Package sqlfence guards what is in a SQL database: a transaction commits only if nobody with a larger fencing token has been
// there before. It works through database/sql with PostgreSQL, with MySQL and MariaDB (InnoDB), and with SQLite from 3.35 on.
//
//	err := lock.Do(ctx, s, "account/7", func(ctx context.Context) error {
//		tx, err := db.BeginTx(ctx, nil)
//		if err != nil {
//			return err
//		}
//		defer tx.Rollback()
//		if err := sqlfence.PostgreSQL.Check(ctx, tx); err != nil { // ctx is that of the hold
//			return err
//		}
//		if _, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance - 70 WHERE id = 7"); err != nil {
//			return err
//		}
//		return tx.Commit()
//	})
//
// # How it works
//
// A table, stile_fence, has a row for each resource, with the largest tokens that it has seen ([Dialect.Migrate] makes it).
// [Dialect.Check] compares and raises them by one statement in the caller's own transaction, and so locks the row until that
// ends: a transaction with a larger token waits for it, and one with a smaller token that comes later is refused. This
// holds at every isolation level. What is refused is a *fencing.StaleError: roll back and stop.
//
// Never delete rows of that table: with its row a resource forgets whom it must refuse.
//
// # What to do
//
// Seal first. Call [Dialect.Seal] when the hold begins, before the first read: it waits for transactions of earlier holders
// that have passed their check, and after it no other one commits. Without it an earlier holder's late write can still come
// after the first read and before the first check.
//
// Check first, too, in each transaction: what is read after it nobody changes until the commit. Transactions on one resource
// run one after the other from there on.
//
// Have the database end transactions that do nothing. If the process of a holder is stopped between its check and its commit, its
// transaction keeps the row, and the next holder waits as long as the database puts up with that: set
// idle_in_transaction_session_timeout in PostgreSQL, wait_timeout in MySQL. With SQLite it keeps the whole database.
//
// Try again what the database asks to be tried again (serialization failures, deadlocks, SQLITE_BUSY): the driver's errors are
// found by errors.As, and calls may be repeated in a new transaction. With SQLite set a busy_timeout, and begin with
// BEGIN IMMEDIATE (modernc.org/sqlite: _txlock=immediate): a transaction that has read before it writes can't wait.
//
// # Rows with a token of their own
//
// Where a resource is one row of a table, the token can be a column of it, and [Rows] needs neither a second table nor a
// transaction.
package sqlfence
