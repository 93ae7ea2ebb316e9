package testgate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// try takes a name, until it is closed. It returns nil if another test has it. A name is that
// of an abstract socket, which leaves no file behind.
func try(name string) (io.Closer, error) {
	socket := fmt.Sprintf("@restante-test-%d-%s", os.Getuid(), name)
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", socket)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}
