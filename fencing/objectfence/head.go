package objectfence

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stile-dev/stile/fencing"
)

// head is the first line of an object.
type head struct {
	Fence     int           `json:"fence"` // version of this format: 1
	Resource  string        `json:"resource"`
	Exclusive fencing.Token `json:"exclusive"`
	Shared    fencing.Token `json:"shared"`
	Write     string        `json:"write"`           // differs from write to write
	Empty     bool          `json:"empty,omitempty"` // it was sealed, and nobody has written data yet
}

// object is what is in the store.
type object struct {
	version string // "" if nothing is there
	head    head
	data    []byte
}

// parse reads an object. What wasn't written here is an error: it may be anything.
func parse(text []byte) (object, error) {
	line, data, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return object{}, errors.New("the object was not written by objectfence: it has no first line")
	}
	var h head
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return object{}, fmt.Errorf("the object was not written by objectfence: its first line: %w", err)
	}
	if h.Fence != 1 || h.Resource == "" || h.Exclusive.IsZero() && h.Shared.IsZero() {
		return object{}, errors.New("the object was not written by this version of objectfence")
	}
	return object{head: h, data: data}, nil
}

func (o object) text() ([]byte, error) {
	line, err := json.Marshal(o.head)
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), o.data...), nil
}

// verdict is the rule of fencing.Gate.
func (h head) verdict(c fencing.Claim) error {
	if h.Resource != c.Resource {
		return fmt.Errorf("%w: the object belongs to %q, the claim is on %q", fencing.ErrBadClaim, h.Resource, c.Resource)
	}
	seen := h.Exclusive
	if c.Mode == fencing.Exclusive && h.Shared.Compare(seen) > 0 {
		seen = h.Shared
	}
	if c.Token.Compare(seen) < 0 {
		return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
	}
	return nil
}

// with is h when c has been admitted.
func (h head) with(c fencing.Claim) head {
	h.Fence, h.Resource = 1, c.Resource
	mine := &h.Exclusive
	if c.Mode == fencing.Shared {
		mine = &h.Shared
	}
	if c.Token.Compare(*mine) > 0 {
		*mine = c.Token
	}
	return h
}

// write tells the writes of one call from all others, and its attempts from each other.
type write struct {
	id       string
	attempts int
}

func newWrite() *write { return &write{id: rand.Text()} }

func (w *write) next() string {
	w.attempts++
	return w.id + "." + strconv.Itoa(w.attempts)
}

func (w *write) wrote(h head) bool { return strings.HasPrefix(h.Write, w.id+".") }

// MaxResource is the longest name of a resource, in bytes. The recipes' names fit.
const MaxResource = 1024

// claim is the one in ctx, if its resource has a name that can be stored as it is.
func claim(ctx context.Context) (fencing.Claim, error) {
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if len(c.Resource) > MaxResource || !utf8.ValidString(c.Resource) {
		return fencing.Claim{}, fmt.Errorf("objectfence: %w: the resource's name, of %d bytes, is over %d or not UTF-8",
			fencing.ErrBadClaim, len(c.Resource), MaxResource)
	}
	return c, nil
}

func writer(ctx context.Context) (fencing.Claim, error) {
	c, err := claim(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if c.Mode != fencing.Exclusive {
		return fencing.Claim{}, fmt.Errorf("objectfence %q: %w", c.Resource, fencing.ErrShared)
	}
	return c, nil
}

// ready says why there is no point in sending anything. The hold may have ended since the last attempt.
func ready(ctx context.Context, c fencing.Claim) error {
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", fencing.ErrEnded, err)
	}
	if ctx.Err() != nil {
		return because(ctx, ctx.Err())
	}
	return nil
}

// because adds that ctx has ended, and why, where the store says something else.
func because(ctx context.Context, err error) error {
	for _, why := range []error{ctx.Err(), context.Cause(ctx)} {
		if why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", why, err)
		}
	}
	return err
}
