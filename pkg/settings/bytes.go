package settings

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// Bytes is a size in a configuration: 256MiB, 1GiB, or a plain number of bytes.
type Bytes int64

// The units, largest first, as GOMEMLIMIT and the Go runtime write them.
var units = []struct {
	name string
	size Bytes
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseBytes reads a size. It is never negative.
func ParseBytes(text string) (Bytes, error) {
	number, unit := text, Bytes(1)
	for _, u := range units {
		if cut, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = cut, u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/unit) {
		return 0, fmt.Errorf("%q is not a size: it should be like 256MiB, 1GiB or a number of bytes", text)
	}
	return Bytes(n) * unit, nil
}

// String gives the size in the largest unit that it is a multiple of.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Decode is kong's.
func (b *Bytes) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("size", &text); err != nil {
		return errors.New("a value is missing")
	}
	size, err := ParseBytes(text)
	*b = size
	return err
}
