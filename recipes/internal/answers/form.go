package answers

import (
	"fmt"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// A Moment is when a request that was held back arrives at etcd.
type Moment int

const (
	// Got is when the call has returned, and what it got is still held.
	Got Moment = iota
	// Released is when that was given back, and nobody has it.
	Released
	// Taken is when somebody else has it.
	Taken
	// Closed is when the session was closed.
	Closed
)

func (m Moment) String() string {
	return [...]string{"got", "released", "taken", "closed"}[m]
}

// A Form is how the answer to a request is lost.
type Form struct {
	Symptom recipestest.Symptom
	// Hurried: the call's ctx ends when it happens.
	Hurried bool
	// Late: the request does not arrive before Moment. Otherwise it arrives at once.
	Late   bool
	Moment Moment
	// Run is how many requests in a row.
	Run int
}

func (f Form) String() string {
	how := "answer"
	if f.Late {
		how = "late until " + f.Moment.String()
	}
	s := fmt.Sprintf("%s, %s", how, [...]string{recipestest.Silence: "silence", recipestest.Reset: "reset"}[f.Symptom])
	if f.Hurried {
		s += ", hurried"
	}
	if f.Run > 1 {
		s += fmt.Sprintf(", %d in a row", f.Run)
	}
	return s
}

// slow reports whether somebody may wait for a deadline.
func (f Form) slow() bool { return f.Symptom == recipestest.Silence }

// forms are all that are tried, those first that take long. A late copy of a request that was given up after a silence is like one that was
// given up after a reset, but for the time that it takes.
var forms = func() []Form {
	all := []Form{
		{Symptom: recipestest.Silence, Run: 1},
		{Symptom: recipestest.Silence, Run: 1, Hurried: true},
		{Symptom: recipestest.Silence, Run: 1, Hurried: true, Late: true, Moment: Released},
		{Symptom: recipestest.Reset, Run: 2},
		{Symptom: recipestest.Reset, Run: 2, Late: true, Moment: Released},
	}
	for _, hurried := range []bool{false, true} {
		all = append(all, Form{Symptom: recipestest.Reset, Run: 1, Hurried: hurried})
		for m := Got; m <= Closed; m++ {
			all = append(all, Form{Symptom: recipestest.Reset, Run: 1, Hurried: hurried, Late: true, Moment: m})
		}
	}
	return all
}()
