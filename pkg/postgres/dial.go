package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// keepaliveProbes is how often a silent machine is asked within the peer timeout.
const keepaliveProbes = 2

// dial makes connections that notice within about this time that the server's machine is gone, and whose end names
// the server.
func dial(peerTimeout time.Duration) pgconn.DialFunc {
	probe := max(peerTimeout/(2*keepaliveProbes), time.Second)
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: peerTimeout / 2, Interval: probe, Count: keepaliveProbes},
		Control:         userTimeout(peerTimeout),
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &namedConn{Conn: conn, address: address}, nil
	}
}

// namedConn says whose connection has ended, where the standard library says no more than EOF.
type namedConn struct {
	net.Conn
	address string
}

// Read is net.Conn's, but for the text of its end.
func (c *namedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF { //nolint:errorlint // a socket's end is never wrapped
		err = fmt.Errorf("Postgres at %s closed the connection: %w", c.address, io.ErrUnexpectedEOF)
	}
	return n, err
}

// named says that an error is of Postgres where its text does not: those of the server have an SQLSTATE.
func named(err error) error {
	if code(err) != "" || strings.Contains(err.Error(), "Postgres at ") {
		return err
	}
	return fmt.Errorf("Postgres: %w", err)
}
