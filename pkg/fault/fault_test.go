package fault

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMarks(t *testing.T) {
	t.Parallel()
	cause := errors.New("boom")
	tests := map[string]struct {
		err       error
		permanent bool
		reason    Reason
		status    int
		letter    Reason
	}{
		"permanent":              {Permanent(Oversized, cause), true, Oversized, http.StatusRequestEntityTooLarge, Oversized},
		"permanent, wrapped":     {fmt.Errorf("reading: %w", Permanent(Unauthenticated, cause)), true, Unauthenticated, http.StatusUnauthorized, Malformed},
		"the outermost mark":     {Transient(Unavailable, Permanent(Malformed, cause)), false, Unavailable, http.StatusServiceUnavailable, Malformed},
		"unmarked is transient":  {cause, false, Unavailable, http.StatusServiceUnavailable, Malformed},
		"unsupported":            {Permanent(Unsupported, cause), true, Unsupported, http.StatusUnsupportedMediaType, Unsupported},
		"unstorable is a 400":    {Permanent(Unstorable, cause), true, Unstorable, http.StatusBadRequest, Unstorable},
		"not found is a 404":     {Permanent(NotFound, cause), true, NotFound, http.StatusNotFound, Malformed},
		"a conflict is a 409":    {Permanent(Conflict, cause), true, Conflict, http.StatusConflict, Conflict},
		"forbidden is a 403":     {Permanent(Forbidden, cause), true, Forbidden, http.StatusForbidden, Malformed},
		"test data is a letter":  {Permanent(TestData, cause), true, TestData, http.StatusBadRequest, TestData},
		"unresolved is a letter": {Permanent(Unresolved, cause), true, Unresolved, http.StatusBadRequest, Unresolved},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.permanent, IsPermanent(tt.err))
			require.Equal(t, tt.reason, ReasonOf(tt.err))
			require.Equal(t, tt.status, HTTPStatus(tt.err))
			require.Equal(t, tt.letter, DeadLetterReason(tt.err))
			require.ErrorIs(t, tt.err, cause)
			require.Contains(t, Reasons(), tt.reason)
		})
	}
}

func TestNilStaysNil(t *testing.T) {
	t.Parallel()
	require.NoError(t, Permanent(Malformed, nil))
	require.NoError(t, Transient(Unavailable, nil))
	require.Equal(t, http.StatusOK, HTTPStatus(nil))
	require.Empty(t, ReasonOf(nil))
}
