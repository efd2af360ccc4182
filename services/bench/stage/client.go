package stage

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/vendors"
)

// answerTimeout bounds one request.
const answerTimeout = 20 * time.Second

// requests makes n signed requests of different events, whole, as they go over
// the wire: the sender shares the machine with what it measures, so it should
// cost next to nothing while it sends. Signatures hold for five minutes.
func requests(job Job, events *traffic.Traffic, n int) ([][]byte, error) {
	sender := vendors.Sender{Sources: catalog.Set(), URL: "http://" + job.Address, Secrets: map[string]string{"stripe": secret}}
	out := make([][]byte, n)
	for i := range out {
		d, err := events.Stripe(i)
		if err != nil {
			return nil, err
		}
		if out[i], err = wire(&sender, d, job.Address); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wire gives a delivery's request as it goes over the wire.
func wire(sender *vendors.Sender, d vendors.Delivery, address string) ([]byte, error) {
	signed, err := sender.Sign(d)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(d.Body) + 512)
	fmt.Fprintf(&b, "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", webhooks, d.Source, address, len(d.Body))
	_ = signed.Header.Write(&b) // a bytes.Buffer takes everything
	b.WriteString("\r\n")
	b.Write(d.Body)
	return b.Bytes(), nil
}

// connection sends one request after the other over one connection, with no
// more of HTTP than the answers of our two receivers have.
type connection struct {
	net.Conn
	in *bufio.Reader
}

func dial(ctx context.Context, address string) (*connection, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &connection{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

// post sends a request and reads its answer, which must be a 2xx.
func (c *connection) post(request []byte) error {
	status, _, err := c.do(request)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("answered %d", status)
	}
	return err
}

// do sends a request and reads its answer. closing: the receiver will take no other on this connection.
func (c *connection) do(request []byte) (status int, closing bool, err error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, true, err
	}
	if _, err := c.Write(request); err != nil {
		return 0, true, fmt.Errorf("posting: %w", err)
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, true, fmt.Errorf("reading the answer: %w", err)
	}
	if len(line) < 12 {
		return 0, true, fmt.Errorf("answered %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, true, fmt.Errorf("answered %q", line)
	}
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, true, fmt.Errorf("reading the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if string(line) == "Connection: close" {
			closing = true
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, true, fmt.Errorf("reading the answer: %w", err)
			}
		}
	}
	if _, err := io.CopyN(io.Discard, c.in, int64(length)); err != nil {
		return 0, true, fmt.Errorf("reading the answer: %w", err)
	}
	return status, closing, nil
}
