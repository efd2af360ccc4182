package receiver

// queue is a list, oldest first, whose nodes lie in what they hold, so that
// neither end costs an allocation.
type queue[T any] struct {
	root node[T] // of a ring
	n    int
}

type node[T any] struct {
	prev, next *node[T]
	in         *queue[T]
	value      *T
}

// push adds a node that is in no queue, as the newest.
func (q *queue[T]) push(n *node[T], value *T) {
	if q.root.next == nil {
		q.root.prev, q.root.next = &q.root, &q.root
	}
	n.value, n.in = value, q
	n.prev, n.next = q.root.prev, &q.root
	n.prev.next, q.root.prev = n, n
	q.n++
}

// remove takes the node out of its queue, if it is in one.
func (n *node[T]) remove() {
	if n.in == nil {
		return
	}
	n.prev.next, n.next.prev = n.next, n.prev
	n.in.n--
	*n = node[T]{}
}

// oldest gives what was pushed first, or nil.
func (q *queue[T]) oldest() *T {
	if q.n == 0 {
		return nil
	}
	return q.root.next.value
}
