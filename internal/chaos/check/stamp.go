package check

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// Stamp is the value that a holder writes: its token, and the number of the call.
func Stamp(token int64, op history.Op) string {
	return fmt.Sprintf("%d %s", token, number(op))
}

func number(op history.Op) string {
	return fmt.Sprintf("%d.%d.%d", op.Client, op.Life, op.ID)
}

// ReadStamp takes it apart.
func ReadStamp(value string) (token int64, op string) {
	first, op, _ := strings.Cut(value, " ")
	token, _ = strconv.ParseInt(first, 10, 64) // 0 is nobody's token
	return token, op
}
