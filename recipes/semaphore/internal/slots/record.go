package slots

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxLimit is the largest limit.
const MaxLimit = 1000

// A Record is what stands at p/limit: four digits, so that etcd can compare it, and the rest in JSON.
type Record struct {
	Limit int
	detail
}

type detail struct {
	At     time.Time `json:"at"` // when it was set, by the wall clock of who did
	Spread *Spread   `json:"spread,omitempty"`
}

// A Spread says that at most so many permits are held by sessions with the same value of a label.
type Spread struct {
	Label string `json:"label"`
	Most  int    `json:"most"`
}

// digits is a number as etcd compares it.
func digits(n int) string { return fmt.Sprintf("%04d", n) }

func (r Record) encode() string {
	b, err := json.Marshal(r.detail)
	if err != nil {
		panic(err) // strings, numbers and times of our own
	}
	return digits(r.Limit) + " " + string(b)
}

// Parse reads a record.
func Parse(value string) (r Record, err error) {
	number, rest, ok := strings.Cut(value, " ")
	if r.Limit, err = strconv.Atoi(number); err != nil || !ok || number != digits(r.Limit) || r.Limit < 0 || r.Limit > MaxLimit {
		return Record{}, fmt.Errorf("the limit's record can't be read: %q", value)
	}
	if err := json.Unmarshal([]byte(rest), &r.detail); err != nil {
		return Record{}, fmt.Errorf("the limit's record can't be read: %w", err)
	}
	return r, nil
}

// same reports whether there is no difference in what they say.
func (r Record) same(other Record) bool {
	if r.Limit != other.Limit || (r.Spread == nil) != (other.Spread == nil) {
		return false
	}
	return r.Spread == nil || *r.Spread == *other.Spread
}
