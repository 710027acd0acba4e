package httpfence

import (
	"fmt"
	"net/http"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/internal/field"
)

// Header is the name of the field that carries a claim.
const Header = "Fencing-Token"

// outgoing is the field of the claim in r's context.
func outgoing(r *http.Request) (string, error) {
	claim, err := fencing.FromContext(r.Context())
	if err != nil {
		return "", err
	}
	return field.Format(claim)
}

// incoming is the claim that h presents. ErrNoClaim says that it presents none.
func incoming(h http.Header) (fencing.Claim, error) {
	values := h[Header]
	switch len(values) {
	case 0:
		return fencing.Claim{}, fmt.Errorf("fencing: %w: no field %s", fencing.ErrNoClaim, Header)
	case 1:
		return field.Parse(values[0])
	default:
		return fencing.Claim{}, fmt.Errorf("fencing: %w: %d fields %s, want one", fencing.ErrBadClaim, len(values), Header)
	}
}
