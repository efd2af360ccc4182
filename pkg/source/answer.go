package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ReadAnswer reads the JSON that a vendor's API answered with and closes the body,
// which the Doer bounds. Errors hold nothing of the answer but its status:
//
//   - 401 is Permanent(Unauthenticated), 403 Permanent(Forbidden), every other 4xx
//     Permanent(Malformed), and then the body is given too;
//   - 408, 409, 425, 429 and 5xx are Transient(Unavailable), with the pause that
//     Retry-After asks for (After), as seconds or as a date;
//   - a body that ends early, or is no JSON (a page for people), is
//     Transient(Malformed): something between may have made it.
func ReadAnswer(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	status := resp.StatusCode
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return nil, Later(fault.Transient(fault.Unavailable, answered(resp)), RetryAfter(resp.Header))
	case status == http.StatusUnauthorized:
		return body, fault.Permanent(fault.Unauthenticated, fmt.Errorf("%w: the key is wrong, or no longer valid", answered(resp)))
	case status == http.StatusForbidden:
		return body, fault.Permanent(fault.Forbidden, fmt.Errorf("%w: the key may not read this", answered(resp)))
	case status >= http.StatusBadRequest:
		return body, fault.Permanent(fault.Malformed, answered(resp))
	case status != http.StatusOK:
		return nil, fault.Transient(fault.Malformed, fmt.Errorf("%w, which is no answer to a read", answered(resp)))
	case fault.IsPermanent(err):
		return nil, err // over the bound
	case isTimeout(err):
		return nil, fault.Transient(fault.Unavailable, fmt.Errorf("the answer stands still after %d bytes: %w", len(body), err))
	case err != nil:
		return nil, fault.Transient(fault.Malformed, fmt.Errorf("the answer breaks off after %d bytes: %w", len(body), err))
	}
	if start := bytes.TrimLeft(body, " \t\r\n"); len(start) == 0 || start[0] != '{' && start[0] != '[' {
		what := "something that is not JSON"
		if len(start) > 0 && start[0] == '<' {
			what = "a page of HTML or XML"
		} else if len(start) == 0 {
			what = "nothing"
		}
		return nil, fault.Transient(fault.Malformed, fmt.Errorf("%w with %s instead of JSON", answered(resp), what))
	}
	return body, nil
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func answered(resp *http.Response) error {
	text := http.StatusText(resp.StatusCode)
	if text == "" {
		text = "a status without a name"
	}
	return errors.New("the API answered " + strconv.Itoa(resp.StatusCode) + " " + text)
}

// RetryAfter reads the header of that name, as seconds or as a date; 0: there is none
// that can be read. A date is compared with the vendor's own clock,
// where the answer tells it.
func RetryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now))
}
