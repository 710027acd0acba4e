package filefence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/stile-dev/stile/fencing"
)

// tokens are what is in the .fence file.
type tokens struct {
	Resource  string        `json:"resource"`
	Exclusive fencing.Token `json:"exclusive"`
	Shared    fencing.Token `json:"shared"`
}

// maxTokens is how many bytes of a .fence file are looked at: more than a name of MaxResource bytes needs in JSON.
const maxTokens = 16 << 10

// MaxResource is the longest name of a resource, in bytes. The recipes' names fit.
const MaxResource = 1024

// load reads the tokens. There are none before the first use; what can't be read as tokens is an error and no first use.
func (f *File) load() (tokens, error) {
	data, err := os.ReadFile(f.tokensPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tokens{}, nil
	case err != nil:
		return tokens{}, err
	case len(data) > maxTokens:
		return tokens{}, fmt.Errorf("%s has %d bytes: it is not what was written there", f.tokensPath(), len(data))
	}
	var t tokens
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return tokens{}, fmt.Errorf("%s is damaged: %w", f.tokensPath(), err)
	}
	if t.Resource == "" || t.Exclusive.IsZero() && t.Shared.IsZero() {
		return tokens{}, fmt.Errorf("%s is damaged: it has no token", f.tokensPath())
	}
	return t, nil
}

// verdict is the rule of fencing.Gate.
func (t tokens) verdict(c fencing.Claim) error {
	if t.Resource != "" && t.Resource != c.Resource {
		return fmt.Errorf("%w: the file belongs to %q, the claim is on %q", fencing.ErrBadClaim, t.Resource, c.Resource)
	}
	seen := t.Exclusive
	if c.Mode == fencing.Exclusive && t.Shared.Compare(seen) > 0 {
		seen = t.Shared
	}
	if c.Token.Compare(seen) < 0 {
		return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
	}
	return nil
}

// with is t when c has been admitted.
func (t tokens) with(c fencing.Claim) tokens {
	t.Resource = c.Resource
	mine := &t.Exclusive
	if c.Mode == fencing.Shared {
		mine = &t.Shared
	}
	if c.Token.Compare(*mine) > 0 {
		*mine = c.Token
	}
	return t
}

// raise has the token of an admitted claim on the disk when it returns nil. It is for who has the lock, and has just loaded t.
func (f *File) raise(t tokens, c fencing.Claim) error {
	raised := t.with(c)
	if raised == t && t == f.synced {
		return nil
	}
	if raised != t {
		if err := f.store(raised); err != nil {
			return err
		}
		f.tidy(c)
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil { // also after somebody else, who may have been killed before
		return err
	}
	f.synced = raised
	f.at("raised")
	return nil
}

// store replaces the .fence file. Its temporary file has one name: only who has the lock writes it.
func (f *File) store(t tokens) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	temp := f.tokensPath() + temporary
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	if err == nil {
		f.at("tokens written")
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, f.tokensPath()); err != nil {
		return err
	}
	f.at("tokens renamed")
	return nil
}

// claim is the one in ctx, if its resource has a name that can be stored as it is.
func claim(ctx context.Context) (fencing.Claim, error) {
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if len(c.Resource) > MaxResource || !utf8.ValidString(c.Resource) {
		return fencing.Claim{}, fmt.Errorf("filefence: %w: the resource's name, of %d bytes, is over %d or not UTF-8",
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
		return fencing.Claim{}, fmt.Errorf("filefence %q: %w", c.Resource, fencing.ErrShared)
	}
	return c, nil
}
