package process

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are picked below 32768, where Linux begins to take ports for outgoing
// connections: a killed server's port must still be free when it restarts.
const (
	lowestPort  = 20000
	highestPort = 31999
)

// FreePorts gives n different ports on 127.0.0.1 that nobody listens on now.
// They are picked at random, so that processes that start side by side seldom
// meet; callers try others when a port has been taken since.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	seen := make(map[int]bool, n)
	for range 100 * n {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if seen[port] || !PortFree(port) {
			continue
		}
		seen[port] = true
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("finding %d free ports between %d and %d: too many are taken", n, lowestPort, highestPort)
}

// PortFree says whether nobody listens on a port of 127.0.0.1.
func PortFree(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return ln.Close() == nil
}
