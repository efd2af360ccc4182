package event

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/schemas"
)

func TestAccountChange(t *testing.T) {
	t.Parallel()
	r := registry(t)
	enc, err := NewChangeEncoder(t.Context(), r, "account-changes")
	require.NoError(t, err)
	dec, err := NewChangeDecoder(r)
	require.NoError(t, err)
	want := AccountChange{
		Source: "stripe", SourceEventID: "evt_1", FromAccount: uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"),
		ToAccount: uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a02"), DecisionID: 7, At: time.Date(2026, 3, 1, 8, 0, 0, 123456000, time.UTC),
	}
	for name, to := range map[string]uuid.UUID{"to another account": want.ToAccount, "to none": uuid.Nil} {
		want.ToAccount = to
		value, err := enc.Encode(&want)
		require.NoError(t, err)
		var got AccountChange
		require.NoError(t, dec.Decode(t.Context(), value, &got), name)
		require.Equal(t, want, got, name)

		// The library makes the same bytes of it.
		a := accountChangeAvro{Source: want.Source, SourceEventID: want.SourceEventID, FromAccount: want.FromAccount.String(), DecisionID: 7, At: want.At}
		if to != uuid.Nil {
			text := to.String()
			a.ToAccount = &text
		}
		schema, err := parse(schemas.AccountChange)
		require.NoError(t, err)
		body, err := avro.Marshal(schema, &a)
		require.NoError(t, err)
		require.Equal(t, body, value[headerSize:], name)

		for end := range len(value) {
			require.True(t, fault.IsPermanent(dec.Decode(t.Context(), value[:end], &got)), "%s, %d bytes", name, end)
		}
	}
	_, err = enc.Encode(&AccountChange{SourceEventID: string(make([]byte, maxChangeBytes+1))})
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
}
