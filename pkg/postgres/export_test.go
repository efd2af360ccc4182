package postgres

import "net"

// KeeperRuns asks whether any process is this database's keeper now.
const KeeperRuns = keeperRuns

// TCPConn gives the socket of a connection without TLS.
func TCPConn(conn net.Conn) *net.TCPConn { return conn.(*namedConn).Conn.(*net.TCPConn) }
