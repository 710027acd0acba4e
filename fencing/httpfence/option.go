package httpfence

import (
	"log/slog"
	"net/http"
)

// Option says something about a Guard.
type Option func(*config)

type config struct {
	reads, seals func(*http.Request) bool
	log          *slog.Logger
}

// Reads says which requests are reads, instead of those with a safe method: a POST that searches,
// a GET that writes all the same. A read is admitted with a claim of either mode.
func Reads(reads func(*http.Request) bool) Option {
	return func(c *config) { c.reads = reads }
}

// Seals says which requests seal: they go through Gate.Seal, whatever their method. By default
// none does. A new holder makes such a request before all others; the handler has nothing to do for
// it, but may well answer with the state that the holder will build on.
func Seals(seals func(*http.Request) bool) Option {
	return func(c *config) { c.seals = seals }
}

// Logger gets what was refused and why: warnings, and as errors what a gate gave no answer
// to. By default nothing is logged.
func Logger(l *slog.Logger) Option {
	return func(c *config) { c.log = l }
}
