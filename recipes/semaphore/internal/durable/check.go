package durable

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckID refuses ids that would make trouble later.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("the holder's id is empty")
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("the holder's id %q is not printable UTF-8", id)
	}
	return atMost("a holder's id", len(encodeJSON(id))-2, mostID)
}

// CheckReason refuses reasons that are too long.
func CheckReason(reason string) error {
	return atMost("the reason", len(encodeJSON(reason))-2, mostReason)
}

// CheckLabels refuses labels that are too long, and what JSON would make something else of: group limits compare values.
func CheckLabels(labels map[string]string) error {
	for name, value := range labels {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return fmt.Errorf("the label %q, %q is not UTF-8", name, value)
		}
	}
	return atMost("labels", len(encodeJSON(labels)), mostLabels)
}

// CheckLimit refuses limits that can't be.
func CheckLimit(limit int, groups map[string]int) error {
	errs := []error{atMost("group limits", len(encodeJSON(groups)), mostGroups)}
	if limit < 0 || limit > MaxLimit {
		errs = append(errs, fmt.Errorf("a limit of %d: it is from 0 to %d", limit, MaxLimit))
	}
	for label, most := range groups {
		if !utf8.ValidString(label) {
			errs = append(errs, fmt.Errorf("a group limit for label %q: it is not UTF-8", label))
		}
		if label == "" || most < 1 {
			errs = append(errs, fmt.Errorf("a group limit of %d for label %q: it takes a label, and 1 at least", most, label))
		}
	}
	return errors.Join(errs...)
}

func atMost(what string, got, most int) error {
	if got > most {
		return fmt.Errorf("%s of %d bytes, as JSON: the most is %d", what, got, most)
	}
	return nil
}
