package fault

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdvice(t *testing.T) {
	t.Parallel()
	cause := errors.New("relation does not exist")
	advised := Advise(Transient(Unavailable, cause), "run the migrations")
	tests := map[string]struct {
		err  error
		want string
	}{
		"none":                 {cause, ""},
		"nil":                  {nil, ""},
		"advised":              {advised, "run the migrations"},
		"advised, wrapped":     {fmt.Errorf("writing: %w", advised), "run the migrations"},
		"the outermost advice": {Advise(advised, "call the administrator"), "call the administrator"},
		"an empty one is none": {Advise(cause, ""), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, Advice(tt.err))
		})
	}
	require.NoError(t, Advise(nil, "nothing to do"))
	require.ErrorIs(t, advised, cause)
	require.Equal(t, cause.Error(), advised.Error())
	require.False(t, IsPermanent(advised))
}
