package kafka

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are picked below 32768, where Linux begins to take ports for outgoing
// connections: a killed broker's port must still be free when it restarts.
const (
	lowestPort  = 20000
	highestPort = 31999
)

// freePorts gives n different ports on 127.0.0.1 that nobody listens on now.
// They are picked at random, so that test binaries that start side by side
// seldom meet; startOnFreePorts deals with those that do.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	seen := make(map[int]bool, n)
	for range 100 * n {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if seen[port] || !portFree(port) {
			continue
		}
		seen[port] = true
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("finding %d free ports between %d and %d: too many are taken", n, lowestPort, highestPort)
}

func portFree(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// portsTaken says whether a broker that is down cannot have come up because
// somebody else holds one of its ports.
func (c *Cluster) portsTaken() bool {
	for _, n := range c.nodes {
		if !n.running() && (!portFree(n.port) || !portFree(n.controller)) {
			return true
		}
	}
	return false
}
