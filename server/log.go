package server

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// levelLastWords is the slog level of what etcd says before it ends the process.
const levelLastWords = slog.LevelError + 4

const redacted = "[redacted]"

// newZap returns etcd's logger, writing to l. Without l everything is discarded but etcd's last words:
// a process that ends without a word is nobody's wish.
func newZap(l *slog.Logger, fatal zapcore.CheckWriteHook) *zap.Logger {
	var h slog.Handler
	if l != nil {
		h = l.Handler()
	} else {
		h = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: levelLastWords})
	}
	return zap.New(&slogCore{handler: h}, zap.WithFatalHook(fatal))
}

// slogCore passes zap's entries on to slog, without what requests and answers held.
type slogCore struct {
	handler slog.Handler
	attrs   []slog.Attr
}

// Enabled refuses etcd's debug level whatever the handler wants: it prints requests.
func (c *slogCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && c.handler.Enabled(context.Background(), slogLevel(l))
}

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	all := slices.Concat(c.attrs, attrs(fields))
	return &slogCore{handler: c.handler, attrs: all}
}

func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	rec := slog.NewRecord(e.Time, slogLevel(e.Level), e.Message, 0)
	rec.AddAttrs(c.attrs...)
	rec.AddAttrs(attrs(fields)...)
	return c.handler.Handle(context.Background(), rec)
}

func (c *slogCore) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return levelLastWords
	case l == zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func attrs(fields []zapcore.Field) []slog.Attr {
	out := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		if f.Type == zapcore.SkipType || f.Type == zapcore.NamespaceType {
			continue
		}
		if holdsContent(f) {
			out = append(out, slog.String(f.Key, redacted))
			continue
		}
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for k, v := range enc.Fields { // one, or two for an error with details
			out = append(out, slog.Any(k, v))
		}
	}
	return out
}

// contentWords are the words in the names of fields whose text etcd takes from requests, answers or
// the store. Refusing by word holds for fields that a later etcd adds, at the price of a few harmless ones.
var contentWords = map[string]bool{
	"key": true, "keys": true, "value": true, "values": true, "end": true, "range": true, "prefix": true,
	"request": true, "req": true, "raftreq": true, "response": true, "resp": true, "content": true,
	"detail": true, "steps": true, "entry": true, "entries": true, "token": true, "password": true, "header": true,
}

// holdsContent says whether f may hold stored data. Numbers, times and flags can't; bytes and whole
// objects always may.
func holdsContent(f zapcore.Field) bool {
	switch f.Type {
	case zapcore.BinaryType, zapcore.ByteStringType, zapcore.ReflectType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType:
		return true
	case zapcore.StringType, zapcore.StringerType, zapcore.ArrayMarshalerType:
		words := strings.FieldsFunc(strings.ToLower(f.Key), func(r rune) bool { return r == ' ' || r == '-' || r == '_' })
		for _, w := range words {
			if contentWords[w] {
				return true
			}
		}
	}
	return false
}
