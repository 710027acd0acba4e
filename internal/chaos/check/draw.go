package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// drawn is how many operations a page bears.
const drawn = 3000

// draw draws one lock's operations, with the faults and the violations above them.
func (o *oracle) draw(path, name string) error {
	steps := o.steps()
	steps = slices.DeleteFunc(steps, func(op porcupine.Operation) bool {
		s, _ := op.Input.(step)
		return s.name != name
	})
	if len(steps) > drawn {
		steps = steps[:drawn]
	}
	_, info := porcupine.CheckOperationsVerbose(fencedMutex, steps, searchTime)
	info.AddAnnotations(o.annotations())
	return porcupine.VisualizePath(fencedMutex, info, path)
}

func (o *oracle) annotations() (all []porcupine.Annotation) {
	for _, f := range o.h.Faults {
		all = append(all, porcupine.Annotation{
			Tag: "faults", Start: int64(f.From), End: int64(f.To), Description: f.Kind,
			Details: details(f), BackgroundColor: "#ffd8a8",
		})
	}
	for _, v := range o.v.Violations {
		all = append(all, porcupine.Annotation{
			Tag: "violations", Start: int64(v.At), Description: v.Rule, Details: v.Text, BackgroundColor: "#ffa8a8",
		})
	}
	return all
}

func details(f history.Fault) string {
	var parts []string
	if len(f.Clients) > 0 {
		parts = append(parts, fmt.Sprintf("clients %v", f.Clients))
	}
	if len(f.Keys) > 0 {
		parts = append(parts, strings.Join(f.Keys, " "))
	}
	if f.Lease != 0 {
		parts = append(parts, fmt.Sprintf("lease %x", f.Lease))
	}
	return strings.Join(append(parts, f.Note), " ")
}
