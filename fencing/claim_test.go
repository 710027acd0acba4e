package fencing_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

func TestAClaimOverTheWireLeavesItsKeyAndItsHoldBehind(t *testing.T) {
	held := fencing.Claim{Resource: "rwlock/a/b", Token: fencing.FromRevision(9007199254740993), Mode: fencing.Shared, Key: "/secret"}
	held = held.Bind(func() error { return errGone })
	js, err := json.Marshal(held)
	if want := `{"resource":"rwlock/a/b","token":"9007199254740993","mode":"shared"}`; err != nil || string(js) != want {
		t.Fatalf("got %s, %v, want %s", js, err, want)
	}
	var got fencing.Claim
	if err := json.Unmarshal(js, &got); err != nil {
		t.Fatal(err)
	}
	if got.Resource != held.Resource || got.Token != held.Token || got.Mode != held.Mode || got.Key != "" || got.Err() != nil {
		t.Errorf("got %+v, want the same claim, unbound and without its key", got)
	}
	for _, js := range []string{`{"resource":"a","token":7}`, `{"resource":"a","token":"7","mode":1}`, `{"resource":"a","token":"7","mode":"SHARED"}`} {
		if err := json.Unmarshal([]byte(js), new(fencing.Claim)); err == nil {
			t.Errorf("Unmarshal(%s): got no error", js)
		}
	}
}

func TestModesAreText(t *testing.T) {
	for mode, want := range map[fencing.Mode]string{fencing.Exclusive: "exclusive", fencing.Shared: "shared"} {
		text, err := mode.MarshalText()
		if err != nil || string(text) != want || mode.String() != want {
			t.Errorf("got %s, %s, %v, want %s", mode, text, err, want)
		}
		back := fencing.Mode(7)
		if err := back.UnmarshalText(text); err != nil || back != mode {
			t.Errorf("UnmarshalText(%s): got %v, %v, want %v", text, back, err, mode)
		}
	}
	if fencing.Exclusive != fencing.Mode(0) {
		t.Error("Exclusive is not the zero Mode")
	}
	if text, err := fencing.Mode(7).MarshalText(); !errors.Is(err, fencing.ErrBadClaim) {
		t.Errorf("MarshalText of an unknown mode: got %s, %v, want ErrBadClaim", text, err)
	}
	if got := fencing.Mode(7).String(); got != "Mode(7)" {
		t.Errorf("String of an unknown mode: got %s", got)
	}
	for _, text := range []string{"", "Shared", "shared ", "0", "Mode(7)"} {
		mode := fencing.Shared
		if err := mode.UnmarshalText([]byte(text)); !errors.Is(err, fencing.ErrBadClaim) || mode != fencing.Shared {
			t.Errorf("UnmarshalText(%q): got %v, %v, want ErrBadClaim and the old mode", text, mode, err)
		}
	}
}
