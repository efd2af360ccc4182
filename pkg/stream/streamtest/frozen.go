package streamtest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FrozenBroker takes connections and answers nothing, like a process that was stopped
// (SIGSTOP): its kernel accepts.
type FrozenBroker struct {
	listener net.Listener
	first    net.Conn
}

// Frozen makes one, which ends with the test.
func Frozen(t testing.TB) *FrozenBroker {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &FrozenBroker{listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		if f.first != nil {
			_ = f.first.Close()
		}
	})
	return f
}

// Addr is where it is.
func (f *FrozenBroker) Addr() string { return f.listener.Addr().String() }

// Await waits until the first client has asked something.
func (f *FrozenBroker) Await(t testing.TB) {
	t.Helper()
	if f.first != nil {
		return
	}
	var err error
	f.first, err = f.listener.Accept()
	require.NoError(t, err)
	_, err = f.first.Read(make([]byte, 1))
	require.NoError(t, err)
}

// Waits says whether the first client still waits for an answer: a Kafka client gives
// up after ten seconds.
func (f *FrozenBroker) Waits(t testing.TB) bool {
	t.Helper()
	f.Await(t)
	require.NoError(t, f.first.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := io.Copy(io.Discard, f.first)
	return errors.Is(err, os.ErrDeadlineExceeded)
}
