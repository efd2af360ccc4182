package fault

import "errors"

// Advise attaches to err what a person can do about it, for a failure that
// waiting does not cure: a missing table, a missing right, a wrong password. The
// log and /readyz show it. A nil err gives nil; an empty advice gives err.
func Advise(err error, advice string) error {
	if err == nil || advice == "" {
		return err
	}
	return &advised{err: err, advice: advice}
}

// Advice gives what a person can do about err: the outermost advice in its
// chain. "" means that waiting is enough, or that nobody knows better.
func Advice(err error) string {
	var a interface{ Advice() string }
	if errors.As(err, &a) {
		return a.Advice()
	}
	return ""
}

// advised carries the advice beside the error's text, not in it.
type advised struct {
	err    error
	advice string
}

func (a *advised) Error() string { return a.err.Error() }
func (a *advised) Unwrap() error { return a.err }

// Advice gives what a person can do.
func (a *advised) Advice() string { return a.advice }
