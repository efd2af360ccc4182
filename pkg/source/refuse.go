package source

import (
	"errors"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Malformed is the Permanent(Malformed) error of a record or delivery that is
// not what its source reads, with the text that fmt.Errorf makes. It quotes ids
// and names at most, cut (%.20q), and no personal data.
func Malformed(format string, args ...any) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf(format, args...))
}

// Unauthenticated is the Permanent(Unauthenticated) error of a delivery that its
// vendor has not signed. why holds nothing of a secret or a signature.
func Unauthenticated(why string) error {
	return fault.Permanent(fault.Unauthenticated, errors.New(why))
}
