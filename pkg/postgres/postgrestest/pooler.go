package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// poolerServers is how many connections to Postgres a pooler has.
const poolerServers = 3

// Pooler starts a pooler in transaction mode before the database at this address and gives its own address. It is
// as hard on its clients as such a pooler may be: each transaction runs on another connection to Postgres than the
// one before, and a statement that is prepared by name fails the test.
// It ends with the test.
func Pooler(t testing.TB, databaseURL string) string {
	t.Helper()
	p := &pooler{t: t, servers: make(chan *pgconn.HijackedConn, poolerServers)}
	for range poolerServers {
		conn, err := pgconn.Connect(t.Context(), databaseURL)
		require.NoError(t, err)
		server, err := conn.Hijack()
		require.NoError(t, err)
		p.servers <- server
		p.parameters = server.ParameterStatuses
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.group.Go(func() { p.accept(listener) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.closeAll()
		p.group.Wait()
		for len(p.servers) > 0 {
			_ = (<-p.servers).Conn.Close()
		}
	})
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	u.Host, u.RawQuery = listener.Addr().String(), "sslmode=disable"
	return u.String()
}

type pooler struct {
	t          testing.TB
	servers    chan *pgconn.HijackedConn
	parameters map[string]string
	group      sync.WaitGroup

	mu      sync.Mutex
	clients []net.Conn
	closed  bool
}

func (p *pooler) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.closed {
			_ = conn.Close()
		} else {
			p.clients = append(p.clients, conn)
			p.group.Go(func() {
				defer conn.Close() //nolint:errcheck // the client may have closed it
				p.serve(conn)
			})
		}
		p.mu.Unlock()
	}
}

func (p *pooler) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range p.clients {
		_ = conn.Close()
	}
}

// serve is one client's life.
func (p *pooler) serve(conn net.Conn) {
	client := pgproto3.NewBackend(conn, conn)
	if p.welcome(client, conn) != nil {
		return
	}
	for {
		message, err := client.Receive()
		if err != nil {
			return
		}
		if _, over := message.(*pgproto3.Terminate); over {
			return
		}
		server := <-p.servers
		err = p.transaction(client, server, message)
		if err != nil { // in the middle of a transaction: the connection is of no more use
			_ = server.Conn.Close()
			if server, err = p.replace(server); err != nil {
				return
			}
			p.servers <- server
			return
		}
		p.servers <- server
	}
}

// replace makes a new connection for one that broke.
func (p *pooler) replace(old *pgconn.HijackedConn) (*pgconn.HijackedConn, error) {
	conn, err := pgconn.ConnectConfig(context.Background(), old.Config)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

// welcome answers a client's first messages. It authenticates nobody.
func (p *pooler) welcome(client *pgproto3.Backend, conn net.Conn) error {
	for {
		message, err := client.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := conn.Write([]byte("N")); err != nil {
				return err
			}
		case *pgproto3.StartupMessage:
			client.Send(&pgproto3.AuthenticationOk{})
			for name, value := range p.parameters {
				client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
			}
			client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
			client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			return client.Flush()
		default:
			return errors.New("a request to cancel, which nobody needs here")
		}
	}
}

// transaction passes messages to and fro until the transaction ends.
func (p *pooler) transaction(client *pgproto3.Backend, server *pgconn.HijackedConn, message pgproto3.FrontendMessage) (err error) {
	for {
		if parse, ok := message.(*pgproto3.Parse); ok && parse.Name != "" {
			p.t.Errorf("the statement %q is prepared by name: %s", parse.Name, parse.Query)
		}
		server.Frontend.Send(message)
		switch message.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			if err := server.Frontend.Flush(); err != nil {
				return err
			}
			idle, err := relay(client, server)
			if err != nil || idle {
				return err
			}
		}
		if message, err = client.Receive(); err != nil {
			return err
		}
		if _, over := message.(*pgproto3.Terminate); over {
			return errors.New("the client left in the middle of a transaction")
		}
	}
}

// relay passes the server's answers on until it is ready again, and says whether that ended the transaction.
func relay(client *pgproto3.Backend, server *pgconn.HijackedConn) (idle bool, err error) {
	for {
		answer, err := server.Frontend.Receive()
		if err != nil {
			return false, fmt.Errorf("reading from the server: %w", err)
		}
		client.Send(answer)
		if ready, ok := answer.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus == 'I', client.Flush()
		}
		if err := client.Flush(); err != nil { // the message's memory is the next one's
			return false, err
		}
	}
}
