package settings

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// longUnits are those of a duration that Go's own end before.
var longUnits = map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}

// durations reads every time.Duration: as Go writes them, and as whole days, weeks or years.
type durations struct{}

// Decode implements kong.Mapper.
func (durations) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	d, ok := parseDuration(text)
	if !ok {
		return fmt.Errorf("should be a duration like 90s, 12h, 1h30m, 30d or 4w, but is %q", text)
	}
	target.SetInt(int64(d))
	return nil
}

func parseDuration(text string) (time.Duration, bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	if text == "" {
		return 0, false
	}
	unit, long := longUnits[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 32)
	const most = time.Duration(1<<63 - 1)
	if !long || err != nil || time.Duration(n) > most/unit || time.Duration(n) < -most/unit {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
