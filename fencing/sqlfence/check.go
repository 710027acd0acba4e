package sqlfence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stile-dev/stile/fencing"
)

// Tx is a transaction of the caller's: *sql.Tx, or what embeds one, as *sqlx.Tx does. A *sql.DB isn't one, and doesn't compile: its
// check and its write would be two transactions. For one that was begun on a *sql.Conn there is Begun.
type Tx interface {
	Querier
	Commit() error
	Rollback() error
}

// Querier is what runs a statement: *sql.DB, *sql.Conn, *sql.Tx.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is where transactions are begun: *sql.DB, or a *sql.Conn without one.
type DB interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// Check admits a write that is made in the same transaction, before or, better, after it. It takes the claim from ctx, which is that of
// a hold, and sends one statement; where MySQL refuses, it sends a second, to learn the token that was seen.
//
// An error means that the transaction must not be committed: a *fencing.StaleError (ErrStale) when somebody else has got the
// hold since; fencing.ErrShared for a shared claim; the errors of fencing.FromContext, before anything is sent; and the database's
// own, as the driver gives it (errors.As finds it). The token is remembered when the transaction is committed.
//
// It waits for other transactions that have checked on the same resource, until ctx ends. Call it outside of savepoints: rolling back to one
// from before the check undoes the check as well. After it LAST_INSERT_ID() of MySQL is not the caller's any more.
func (d Dialect) Check(ctx context.Context, tx Tx) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	return d.admit(ctx, tx, c)
}

// CheckRead admits reads that are made in the same transaction, in either mode, remembers nothing and waits for nobody. It works
// in read-only transactions. Its errors are those of Check.
//
// What the transaction has read before is covered at sql.LevelReadCommitted and above: nobody with a token that refuses
// this one had written it. What it reads afterwards is covered where it sees one state of the database: in SQLite, and from
// sql.LevelRepeatableRead on.
func (d Dialect) CheckRead(ctx context.Context, tx Tx) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	s, err := d.statements()
	if err != nil {
		return err
	}
	if tx == nil {
		return failed("check", c, errNil)
	}
	n, err := read(tx.QueryRowContext(ctx, s.numbers, c.Resource))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return failed("check", c, because(ctx, err))
	}
	return n.verdict(c)
}

// Seal admits a new holder, of either mode, and remembers its token, in a transaction of its own: call it before anything
// else. It waits for transactions of earlier holders that have passed their check; once it returns nil, none of them commits any
// more. After an error (its kinds are those of Check) call it again, or release the hold.
func (d Dialect) Seal(ctx context.Context, db DB) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	return d.inTx(ctx, db, func(tx *sql.Tx) error { return d.admit(ctx, tx, c) })
}

// inTx is for a transaction of one statement, which is safe at any level. At this one PostgreSQL asks nobody to try again; others don't
// anyway, and MySQL refuses it where its log is one of statements.
func (d Dialect) inTx(ctx context.Context, db DB, act func(tx *sql.Tx) error) error {
	if _, err := d.statements(); err != nil {
		return err
	}
	if db == nil {
		return fmt.Errorf("sqlfence: %w", errNil)
	}
	var opts *sql.TxOptions
	if d == PostgreSQL {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("sqlfence: begin: %w", because(ctx, err))
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := act(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlfence: commit: %w", because(ctx, err))
	}
	return nil
}

// admit has the database compare and remember.
func (d Dialect) admit(ctx context.Context, tx Tx, c fencing.Claim) error {
	s, err := d.statements()
	if err != nil {
		return err
	}
	if tx == nil {
		return failed("check", c, errNil)
	}
	if d == MySQL {
		return s.admitByID(ctx, tx, c)
	}
	n, err := read(tx.QueryRowContext(ctx, s.admit[c.Mode], c.Resource, c.Token.Sortable()))
	if err != nil {
		return failed("check", c, because(ctx, err))
	}
	if err := n.verdict(c); err != nil {
		return err
	}
	if n[c.Mode].Compare(c.Token) < 0 {
		return failed("check", c, errors.New("the database did not remember the token"))
	}
	return nil
}

// admitByID learns the verdict from the id of the last insert.
func (s statements) admitByID(ctx context.Context, tx Tx, c fencing.Claim) error {
	token := c.Token.Sortable()
	args := []any{c.Resource, token, token, token}
	if c.Mode == fencing.Exclusive {
		args = append(args, token)
	}
	result, err := tx.ExecContext(ctx, s.admit[c.Mode], args...)
	if err != nil {
		return failed("check", c, because(ctx, err))
	}
	id, err := result.LastInsertId()
	if err != nil {
		return failed("check", c, err)
	}
	if id == admitted {
		return nil
	}
	n, err := read(tx.QueryRowContext(ctx, s.locked, c.Resource))
	if err != nil {
		return failed("check", c, because(ctx, err))
	}
	if err := n.verdict(c); err != nil {
		return err
	}
	return failed("check", c, fmt.Errorf("the database told no verdict: LAST_INSERT_ID is %d", id))
}

// numbers are what a resource has seen, by mode.
type numbers [2]fencing.Token

func read(row *sql.Row) (n numbers, err error) {
	var texts [2]string
	if err := row.Scan(&texts[fencing.Exclusive], &texts[fencing.Shared]); err != nil {
		return numbers{}, err
	}
	for mode, text := range texts {
		if n[mode], err = fencing.ParseSortable(text); err != nil {
			return numbers{}, err
		}
	}
	return n, nil
}

// verdict is the rule of fencing.Gate.
func (n numbers) verdict(c fencing.Claim) error {
	seen := n[fencing.Exclusive]
	if c.Mode == fencing.Exclusive && n[fencing.Shared].Compare(seen) > 0 {
		seen = n[fencing.Shared]
	}
	if c.Token.Compare(seen) < 0 {
		return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
	}
	return nil
}

// MaxResource is the longest name of a resource, in bytes. The recipes' names fit.
const MaxResource = 1024

// claim is the one in ctx, if its resource has a name that can be stored as it is.
func claim(ctx context.Context) (fencing.Claim, error) {
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if len(c.Resource) > MaxResource {
		return fencing.Claim{}, fmt.Errorf("sqlfence: %w: the resource has a name of %d bytes, the most is %d",
			fencing.ErrBadClaim, len(c.Resource), MaxResource)
	}
	if !utf8.ValidString(c.Resource) || strings.Contains(c.Resource, "\x00") {
		return fencing.Claim{}, fmt.Errorf("sqlfence: %w: the resource %q is not text", fencing.ErrBadClaim, c.Resource)
	}
	return c, nil
}

func writer(ctx context.Context) (fencing.Claim, error) {
	c, err := claim(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if c.Mode != fencing.Exclusive {
		return fencing.Claim{}, fmt.Errorf("sqlfence %q: %w", c.Resource, fencing.ErrShared)
	}
	return c, nil
}

var errNil = errors.New("the database or transaction is nil")

func failed(act string, c fencing.Claim, err error) error {
	return fmt.Errorf("sqlfence %q: %s: %w", c.Resource, act, err)
}

// because adds that ctx has ended, and why, where a driver says something else.
func because(ctx context.Context, err error) error {
	for _, why := range []error{ctx.Err(), context.Cause(ctx)} {
		if why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", why, err)
		}
	}
	return err
}
