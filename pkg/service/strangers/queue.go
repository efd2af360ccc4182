package strangers

// Queue is a list, oldest first, whose nodes lie in what they hold, so that
// neither end costs an allocation.
type Queue[T any] struct {
	root Node[T] // of a ring
	n    int
}

// Node is a place in a queue, or in none.
type Node[T any] struct {
	prev, next *Node[T]
	in         *Queue[T]
	value      *T
}

// Push adds a node that is in no queue, as the newest.
func (q *Queue[T]) Push(n *Node[T], value *T) {
	if q.root.next == nil {
		q.root.prev, q.root.next = &q.root, &q.root
	}
	n.value, n.in = value, q
	n.prev, n.next = q.root.prev, &q.root
	n.prev.next, q.root.prev = n, n
	q.n++
}

// Remove takes the node out of its queue, if it is in one.
func (n *Node[T]) Remove() {
	if n.in == nil {
		return
	}
	n.prev.next, n.next.prev = n.next, n.prev
	n.in.n--
	*n = Node[T]{}
}

// In gives the queue that the node is in, or nil.
func (n *Node[T]) In() *Queue[T] { return n.in }

// Len is how many nodes are in the queue.
func (q *Queue[T]) Len() int { return q.n }

// Oldest gives what was pushed first, or nil.
func (q *Queue[T]) Oldest() *T {
	if q.n == 0 {
		return nil
	}
	return q.root.next.value
}
