package keep

import (
	"fmt"
	"testing"
)

func TestNotesAreKeptOfTheLastScopes(t *testing.T) {
	k := newKeeper(machine{}, Defaults())
	if n, ok := k.Noted("a"); ok {
		t.Errorf("nothing was noted: %d", n)
	}
	k.Note("a", 1)
	k.Note("a", 2)
	if n, ok := k.Noted("a"); !ok || n != 2 {
		t.Errorf("Noted = %d, %v, want 2", n, ok)
	}
	for i := range 10 * mostNotes {
		k.Note(fmt.Sprint(i), i)
		if n, ok := k.Noted(fmt.Sprint(i)); !ok || n != i {
			t.Fatalf("Noted(%d) = %d, %v", i, n, ok)
		}
	}
	if n := len(k.notes.of); n > mostNotes {
		t.Errorf("%d notes, want %d at most", n, mostNotes)
	}
}
