package sqlfence

import (
	"errors"
	"fmt"

	"github.com/stile-dev/stile/fencing"
)

// A Dialect is a kind of database. The zero Dialect is none: it refuses everything.
type Dialect uint8

// The databases that can be guarded.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // and MariaDB
	SQLite
)

// String is the name of the database.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	default:
		return fmt.Sprintf("Dialect(%d)", uint8(d))
	}
}

var errNoDialect = errors.New("sqlfence: no such dialect: use PostgreSQL, MySQL or SQLite")

// none is what a resource has seen at first: the zero token.
const none = "'00000000000000000000000000000000'"

// statements are the SQL of a dialect.
type statements struct {
	schema  string
	serial  string // keeps two from making the table at once, in their transactions; may be empty
	admit   [2]string
	numbers string // reads what was seen
	locked  string // the same, of a row that is locked, as it is now
}

func (d Dialect) statements() (statements, error) {
	switch d {
	case PostgreSQL:
		return postgres, nil
	case MySQL:
		return mysql, nil
	case SQLite:
		return sqlite, nil
	default:
		return statements{}, errNoDialect
	}
}

var postgres = statements{
	schema: `CREATE TABLE IF NOT EXISTS stile_fence (
	resource        VARCHAR(1024) COLLATE "C" PRIMARY KEY,
	exclusive_token CHAR(32) COLLATE "C" NOT NULL,
	shared_token    CHAR(32) COLLATE "C" NOT NULL
)`,
	serial:  `SELECT pg_advisory_xact_lock(7597707083866140005)`, // any number that nobody else locks
	admit:   upserts("$1", "$2"),
	numbers: `SELECT exclusive_token, shared_token FROM stile_fence WHERE resource = $1`,
}

var sqlite = statements{
	schema: `CREATE TABLE IF NOT EXISTS stile_fence (
	resource        TEXT COLLATE BINARY PRIMARY KEY,
	exclusive_token TEXT COLLATE BINARY NOT NULL,
	shared_token    TEXT COLLATE BINARY NOT NULL
) WITHOUT ROWID`,
	admit:   upserts("?1", "?2"),
	numbers: `SELECT exclusive_token, shared_token FROM stile_fence WHERE resource = ?1`,
}

// upserts are statements that raise a token, if the claim is to be admitted, and in any case return what has been seen then. A
// refused one writes the row as it is.
func upserts(resource, token string) [2]string {
	begin := `INSERT INTO stile_fence AS f (resource, exclusive_token, shared_token) VALUES (` + resource
	end := ` RETURNING exclusive_token, shared_token`
	return [2]string{
		fencing.Exclusive: begin + `, ` + token + `, ` + none + `) ON CONFLICT (resource) DO UPDATE SET exclusive_token = CASE
	WHEN f.exclusive_token <= EXCLUDED.exclusive_token AND f.shared_token <= EXCLUDED.exclusive_token
	THEN EXCLUDED.exclusive_token ELSE f.exclusive_token END` + end,
		fencing.Shared: begin + `, ` + none + `, ` + token + `) ON CONFLICT (resource) DO UPDATE SET shared_token = CASE
	WHEN f.exclusive_token <= EXCLUDED.shared_token AND f.shared_token <= EXCLUDED.shared_token
	THEN EXCLUDED.shared_token ELSE f.shared_token END` + end,
	}
}

// MySQL's INSERT returns no columns. What it can return is a number: admitted or refused. Names are bytes, since every collation that
// both MySQL and MariaDB know takes names for equal that differ in spaces at the end.
var mysql = statements{
	schema: `CREATE TABLE IF NOT EXISTS stile_fence (
	resource        VARBINARY(1024) PRIMARY KEY,
	exclusive_token CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	shared_token    CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`,
	admit: [2]string{
		fencing.Exclusive: `INSERT INTO stile_fence (resource, exclusive_token, shared_token)
	VALUES (?, IF(LAST_INSERT_ID(1) = 1, ?, NULL), ` + none + `) ON DUPLICATE KEY UPDATE exclusive_token =
	IF(LAST_INSERT_ID(IF(exclusive_token <= ? AND shared_token <= ?, 1, 2)) = 1, ?, exclusive_token)`,
		fencing.Shared: `INSERT INTO stile_fence (resource, shared_token, exclusive_token)
	VALUES (?, IF(LAST_INSERT_ID(1) = 1, ?, NULL), ` + none + `) ON DUPLICATE KEY UPDATE shared_token =
	IF(LAST_INSERT_ID(IF(exclusive_token <= ?, 1, 2)) = 1, GREATEST(shared_token, ?), shared_token)`,
	},
	numbers: `SELECT exclusive_token, shared_token FROM stile_fence WHERE resource = ?`,
	locked:  `SELECT exclusive_token, shared_token FROM stile_fence WHERE resource = ? FOR UPDATE`,
}

// admitted is the id that MySQL's statements tell; another one is told of a refusal.
const admitted = 1
