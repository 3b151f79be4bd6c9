package etcd

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger gives etcd a logger that writes warnings and errors to log. Where
// etcd would end the process it panics instead, so that a start can recover.
func zapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(&logCore{log: log}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

// logCore is a zap core on top of slog.
type logCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c *logCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	return &logCore{log: c.log, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *logCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && !quiet(e.Message) {
		return checked.AddCore(e, c)
	}
	return checked
}

// quiet names warnings about settings that we have chosen on purpose, about
// campaigning early (see campaign), about the first seconds of a new database,
// and one that etcd repeats in a tight loop while a member reads its log after
// a crash.
func quiet(message string) bool {
	if strings.Contains(message, "cannot campaign at term") {
		return true
	}
	switch message {
	case "Running http and grpc server on single port. This is not recommended for production.",
		"Failed to detect storage schema version. Please wait till wal snapshot before upgrading cluster.",
		"Failed to detect schema version", "failed to update storage version",
		"failed to publish local member to cluster through raft",
		"simple token is not cryptographically signed":
		return true
	}
	return false
}

// Write implements zapcore.Core.
func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(values)
	}
	attrs := make([]slog.Attr, 0, len(values.Fields)+1)
	attrs = append(attrs, slog.String("component", "etcd"))
	for key, value := range values.Fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	c.log.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (c *logCore) Sync() error { return nil }
