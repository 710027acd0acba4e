package sqlfence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-dev/stile/fencing"
)

// Rows guards the rows of a table by a column that has the token of whoever wrote the row last:
//
//	ALTER TABLE account ADD COLUMN fence CHAR(32)
//
//	accounts := sqlfence.PostgreSQL.Rows("account", "id", "fence")
//	err := accounts.Update(ctx, db, 7, "balance = balance - $1", 70)
//
// A row belongs to one resource: its claims alone write it, exclusive ones. Every write has to go through Update, and none deletes the
// row, for with it goes the token: mark it as deleted instead.
type Rows struct {
	dialect          Dialect
	table, id, token string
}

// Rows are those of table, which the column id tells apart, with their token in the column token: CHAR(32), or VARCHAR or TEXT. NULL is no
// token yet. The three are put into the statements as they are: they are SQL, like the
// rest of a statement, and must not come from outside.
func (d Dialect) Rows(table, id, token string) Rows { return Rows{d, table, id, token} }

// Update changes the row, by the assignments of an UPDATE statement, unless somebody with a larger token has written it. It is one
// statement, so q may be the database itself; it may be a transaction as well. Arguments are $1, $2, … in PostgreSQL, and ? in the others.
// After a refusal it reads the token that was seen.
//
// An error means that nothing was changed: a *fencing.StaleError (ErrStale); sql.ErrNoRows if there is no such row; otherwise those of
// Check. (If id is not unique, which is a mistake, the error says that more than one row was changed.)
func (r Rows) Update(ctx context.Context, q Querier, id any, set string, args ...any) error {
	if strings.TrimSpace(set) == "" {
		return errors.New("sqlfence: Rows.Update without an assignment: to change nothing but the token there is Rows.Seal")
	}
	if beyond := "$" + strconv.Itoa(len(args)+1); r.dialect == PostgreSQL && strings.Contains(set, beyond) {
		return fmt.Errorf("sqlfence: Rows.Update with %d arguments, and %s in the assignment", len(args), beyond)
	}
	return r.update(ctx, q, id, set+", ", args)
}

// Seal gives the row the token of the claim and changes nothing else: once it returns nil, no earlier holder's write lands in that row.
// Call it before the row is read. Its errors are those of Update.
func (r Rows) Seal(ctx context.Context, q Querier, id any) error {
	return r.update(ctx, q, id, "", nil)
}

func (r Rows) update(ctx context.Context, q Querier, id any, set string, args []any) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	if _, err := r.dialect.statements(); err != nil {
		return err
	}
	if q == nil {
		return r.failed(c, id, errNil)
	}
	result, err := q.ExecContext(ctx, r.statement(set, len(args)), slices.Concat(args, r.tail(c, id))...)
	if err != nil {
		return r.failed(c, id, because(ctx, err))
	}
	matched, err := r.matched(result)
	switch {
	case err != nil:
		return r.failed(c, id, err)
	case matched == 0:
		return r.why(ctx, q, id, c)
	case matched > 1:
		return r.failed(c, id, fmt.Errorf("%d rows were changed: the column %s is not unique", matched, r.id))
	}
	return nil
}

// statement is the UPDATE after whose n arguments come those of tail. A column that can't keep a token (a number, say) is
// noticed by the length of what it has kept.
func (r Rows) statement(set string, n int) string {
	token, id, compared := "?", "?", "?"
	column, seen := r.token, r.token
	switch r.dialect {
	case PostgreSQL:
		token, id = "$"+strconv.Itoa(n+1), "$"+strconv.Itoa(n+2)
		compared = token
		seen += ` COLLATE "C"`
	case MySQL:
		token = "IF(LAST_INSERT_ID(1) = 1, ?, NULL)" // see matched
	}
	return `UPDATE ` + r.table + ` SET ` + set + column + ` = ` + token + ` WHERE ` + r.id + ` = ` + id +
		` AND (` + column + ` IS NULL OR LENGTH(` + column + `) = 32 AND ` + seen + ` <= ` + compared + `)`
}

func (r Rows) tail(c fencing.Claim, id any) []any {
	token := c.Token.Sortable()
	if r.dialect == PostgreSQL { // names its arguments
		return []any{token, id}
	}
	return []any{token, id, token}
}

// matched is how many rows were written. MySQL leaves out those that were written with what they had; that there was one is told by
// LAST_INSERT_ID, which is evaluated for it.
func (r Rows) matched(result sql.Result) (int64, error) {
	n, err := result.RowsAffected()
	if err != nil || n > 0 || r.dialect != MySQL {
		return n, err
	}
	return result.LastInsertId()
}

// why tells why no row was written.
func (r Rows) why(ctx context.Context, q Querier, id any, c fencing.Claim) error {
	query := `SELECT ` + r.token + ` FROM ` + r.table + ` WHERE ` + r.id + ` = `
	switch r.dialect {
	case PostgreSQL:
		query += `$1`
	case MySQL:
		query += `? FOR UPDATE` // as it is now, not as it was when the transaction began
	default:
		query += `?`
	}
	var text sql.NullString
	if err := q.QueryRowContext(ctx, query, id).Scan(&text); err != nil {
		return r.failed(c, id, because(ctx, err))
	}
	if !text.Valid {
		return r.failed(c, id, errRaced)
	}
	seen, err := fencing.ParseSortable(text.String)
	if err != nil {
		return r.failed(c, id, fmt.Errorf("the column %s: %w", r.token, err))
	}
	if seen.Compare(c.Token) > 0 {
		return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
	}
	return r.failed(c, id, errRaced)
}

// errRaced comes of a row that is made while it is looked for.
var errRaced = errors.New("the row was not there, and is there now: try again")

func (r Rows) failed(c fencing.Claim, id any, err error) error {
	return failed(fmt.Sprintf("%s %v of %s", r.id, id, r.table), c, err)
}
