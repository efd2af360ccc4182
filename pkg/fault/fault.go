// Package fault tells the two kinds of failure apart that Throughline knows.
//
// A Transient failure may go away by itself: the loop that met it tries again,
// with backoff, for as long as it runs. A Permanent failure will not: the event
// goes to the dead letter topic, or the request is refused, with its Reason.
// There is no third kind. An error that nobody classified counts as Transient,
// because retrying costs time while giving up may cost an event.
package fault

import (
	"errors"
	"net/http"
	"slices"
)

// Reason is a closed set of codes that say why something failed. The same code
// is the metric label, the log field, the dead letter's reason and, through
// HTTPStatus, the answer to a vendor.
type Reason string

const (
	// Unauthenticated means: the signature or token is wrong, missing, expired or from the future.
	Unauthenticated Reason = "unauthenticated"
	// Malformed means: not the JSON, or not the shape, that the source sends.
	Malformed Reason = "malformed"
	// Unsupported means: well-formed, but of a kind we do not take (content type, encoding, method).
	Unsupported Reason = "unsupported"
	// Oversized means: over a stated bound of bytes or elements.
	Oversized Reason = "oversized"
	// Unresolved means: no reference of the event leads to an account.
	Unresolved Reason = "unresolved_account"
	// Unstorable means: valid JSON that Postgres cannot hold (NUL, lone surrogate, a number beyond its range).
	Unstorable Reason = "unstorable"
	// TestData means: the vendor says that it is of its test mode or sandbox, which the timeline does not take.
	TestData Reason = "test_data"
	// NotFound means: what the request names does not exist.
	NotFound Reason = "not_found"
	// Conflict means: what is there already, or the state it is in, forbids the request.
	Conflict Reason = "conflict"
	// Forbidden means: whoever asks is known and may not do this.
	Forbidden Reason = "forbidden"
	// Unavailable means: a broker, the database or the registry did not answer.
	Unavailable Reason = "unavailable"
)

// Reasons lists every Reason, so that a metric can exist before its first failure.
func Reasons() []Reason {
	return []Reason{Unauthenticated, Malformed, Unsupported, Oversized, Unresolved, Unstorable, TestData, NotFound, Conflict, Forbidden, Unavailable}
}

// Permanent marks err as one that no retry will cure. A nil err gives nil.
func Permanent(reason Reason, err error) error { return wrap(reason, true, err) }

// Transient marks err as one that a retry may cure. A nil err gives nil.
func Transient(reason Reason, err error) error { return wrap(reason, false, err) }

// IsPermanent reports whether the outermost mark in err's chain is Permanent.
// An unmarked error is not.
func IsPermanent(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.permanent
}

// ReasonOf gives the outermost Reason in err's chain; Unavailable for an
// unmarked error, and "" for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	var f *failure
	if errors.As(err, &f) {
		return f.reason
	}
	return Unavailable
}

// HTTPStatus is the one map from a failure to a status code. Sources override
// the transient ones where their vendor retries on another status
// (source.Source.Reply). nil gives 200.
func HTTPStatus(err error) int {
	if err == nil {
		return http.StatusOK
	}
	if !IsPermanent(err) {
		return http.StatusServiceUnavailable
	}
	switch ReasonOf(err) {
	case Unauthenticated:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unsupported:
		return http.StatusUnsupportedMediaType
	case Oversized:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}

// DeadLetterReason is the one map from a permanent failure to the reason in a
// dead letter: unresolved_account, malformed, unsupported, oversized, unstorable,
// test_data, or conflict (what an event says of its account contradicts itself).
func DeadLetterReason(err error) Reason {
	if r := ReasonOf(err); slices.Contains(DeadLetterReasons(), r) {
		return r
	}
	return Malformed
}

// DeadLetterReasons gives those that a dead letter can have.
func DeadLetterReasons() []Reason {
	return []Reason{Malformed, Unsupported, Oversized, Unresolved, Unstorable, TestData, Conflict}
}

// failure carries the mark. Its text is its cause's text: the kind belongs in
// the type and in log fields, not in the sentence.
type failure struct {
	reason    Reason
	permanent bool
	err       error
}

// Error is error's.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap is for errors.As.
func (f *failure) Unwrap() error { return f.err }

func wrap(reason Reason, permanent bool, err error) error {
	if err == nil {
		return nil
	}
	return &failure{reason: reason, permanent: permanent, err: err}
}
