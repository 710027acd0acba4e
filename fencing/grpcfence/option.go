package grpcfence

import "log/slog"

// Option says something about a server's interceptors.
type Option func(*config)

type config struct {
	reads, seals, except func(fullMethod string) bool
	each                 bool
	log                  *slog.Logger
}

func configure(opts []Option) config {
	none := func(string) bool { return false }
	c := config{reads: none, seals: none, except: none, log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(&c)
	}
	return c
}

// Reads says which methods read: they go through Gate.CheckRead, which admits a claim of either
// mode. By default none does, and every call goes through Gate.Check.
func Reads(reads func(fullMethod string) bool) Option {
	return func(c *config) { c.reads = reads }
}

// Seals says which methods seal: they go through Gate.Seal. By default none does. A new holder
// calls such a method before all others; the method has nothing to do for it, but may well answer
// with the state that the holder will build on.
func Seals(seals func(fullMethod string) bool) Option {
	return func(c *config) { c.seals = seals }
}

// Except says which methods are not guarded at all: health checks, reflection. By default none.
func Except(except func(fullMethod string) bool) Option {
	return func(c *config) { c.except = except }
}

// EachMessage asks the gate again with each message that a stream receives, before the handler
// gets it. The resource is asked for with that message.
func EachMessage() Option {
	return func(c *config) { c.each = true }
}

// Logger gets what was refused and why: warnings, and as errors what a gate gave no answer to. By
// default nothing is logged.
func Logger(l *slog.Logger) Option {
	return func(c *config) { c.log = l }
}
