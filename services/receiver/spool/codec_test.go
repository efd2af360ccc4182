package spool

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func entries() map[string][]*kgo.Record {
	return map[string][]*kgo.Record{
		"none": nil,
		"one": {{
			Topic: "raw.looker", Key: []byte("looker:plan:1"), Value: []byte(`{"a":1}`),
			Headers: []kgo.RecordHeader{{Key: "tl-source", Value: []byte("looker")}, {Key: "empty", Value: []byte{}}, {Key: "none"}},
		}},
		"no key and an empty key": {
			{Topic: "raw.x", Value: []byte("a")},
			{Topic: "raw.x", Key: []byte{}, Value: []byte{}},
		},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	t.Parallel()
	for name, records := range entries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(encode(records))
			require.NoError(t, err)
			require.Equal(t, records, got)
		})
	}
}

func TestAnyChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	entry := encode(entries()["one"])
	for i := range entry {
		entry[i] ^= 0x40
		_, err := decode(entry)
		require.ErrorIs(t, err, errDamaged, "byte %d", i)
		entry[i] ^= 0x40
		_, err = decode(entry[:i])
		require.ErrorIs(t, err, errDamaged, "cut at %d", i)
	}
}

// FuzzDecode goes past the checksum, which would keep the fuzzer out.
func FuzzDecode(f *testing.F) {
	for _, records := range entries() {
		f.Add(encode(records)[crcBytes+1:])
	}
	f.Fuzz(func(t *testing.T, contents []byte) {
		records, err := decode(sum(append(make([]byte, crcBytes), append([]byte{entryVersion}, contents...)...)))
		if err != nil {
			return
		}
		again, err := decode(encode(records))
		require.NoError(t, err)
		require.Equal(t, records, again)
	})
}
