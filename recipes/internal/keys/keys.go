// Package keys says what a recipe's name may be and where its keys stand in etcd.
//
// A name is one segment of a key, escaped so that no name is part of another: the lock "a" and the
// lock "a/b" share no prefix, nor do a lock and a semaphore of one name.
package keys

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultRoot is the prefix of every key, unless a session has another one. The version is part of it:
// clients of different layouts never meet.
const DefaultRoot = "/stile/v1"

// MaxName is the longest name, in bytes.
const MaxName = 512

// ErrName is what every refused name has in common.
var ErrName = errors.New("bad name")

// CheckName refuses, before anything is sent, the names that would make trouble later: empty ones, ones over
// MaxName bytes, ones that are not UTF-8 or hold control characters, and '#', which numbers the slots of a
// semaphore in the name of a fencing resource.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrName, len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w %q: not UTF-8", ErrName, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w %q: it has a control character", ErrName, name)
	case strings.Contains(name, "#"):
		return fmt.Errorf("%w %q: '#' is kept for the slots of a semaphore", ErrName, name)
	}
	return nil
}

// CheckText refuses text that could not be shown to people.
func CheckText(text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return errors.New("not printable UTF-8")
	}
	return nil
}

// CheckRoot refuses a root that could not be told from its neighbours.
func CheckRoot(root string) error {
	switch {
	case !strings.HasPrefix(root, "/") || strings.HasSuffix(root, "/"):
		return fmt.Errorf("bad root %q: it starts with '/' and does not end with one", root)
	case len(root) > MaxName:
		return fmt.Errorf("bad root: %d bytes, the most is %d", len(root), MaxName)
	case !utf8.ValidString(root) || strings.ContainsFunc(root, unicode.IsControl):
		return fmt.Errorf("bad root %q: it is not printable UTF-8", root)
	}
	return nil
}

// Kind is the prefix under which all names of one recipe stand. It ends with '/'.
func Kind(root, kind string) string {
	return root + "/" + kind + "/"
}

// Prefix is the prefix of everything that belongs to one name of one recipe. It ends with '/'.
func Prefix(root, kind, name string) string {
	return Kind(root, kind) + url.PathEscape(name) + "/"
}

// Split takes a key below Kind apart: the name, and what stands after the name's prefix. It is false for a key
// that no recipe writes.
func Split(root, kind, key string) (name, rest string, ok bool) {
	below, ok := strings.CutPrefix(key, Kind(root, kind))
	if !ok {
		return "", "", false
	}
	segment, rest, ok := strings.Cut(below, "/")
	if !ok {
		return "", "", false
	}
	name, err := url.PathUnescape(segment)
	if err != nil || CheckName(name) != nil || url.PathEscape(name) != segment {
		return "", "", false
	}
	return name, rest, true
}
