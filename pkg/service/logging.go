package service

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// NewLogger makes the logger of a process. A JSON line has ts (RFC 3339, UTC,
// nanoseconds), level, msg, service, version and the fields given. level is
// debug, info, warn or error (else info); format is json, console or auto
// (console when w is a terminal).
func NewLogger(w io.Writer, service, level, format string) *zap.Logger {
	var least zapcore.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = zapcore.InfoLevel
	}
	enc := zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", MessageKey: "msg", NameKey: "logger", StacktraceKey: "stack",
		EncodeTime: func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
			zapcore.RFC3339NanoTimeEncoder(t.UTC(), e)
		},
		EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder,
	}
	var encoder zapcore.Encoder
	if format == "console" || format == "auto" && isTerminal(w) {
		encoder = zapcore.NewConsoleEncoder(enc)
	} else {
		encoder = zapcore.NewJSONEncoder(enc)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), least)
	return zap.New(core).With(zap.String("service", service), zap.String("version", settings.Version()))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
