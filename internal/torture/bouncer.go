package torture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// bouncer is a PgBouncer in transaction mode.
type bouncer struct {
	dir, program, address string
	forker                *forker
	cmd                   *exec.Cmd
}

func newBouncer(f *forker, to string) (*bouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, errors.New("PgBouncer is not found")
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "torture-pgbouncer")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return nil, err
	}
	_, own, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("[databases]\n* = host=%s port=%s user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 8\nmax_client_conn = 200\n", host, port, own)
	b := &bouncer{dir: dir, program: program, address: address, forker: f}
	if err := os.WriteFile(b.settings(), []byte(settings), 0o644); err != nil { // #nosec G306 -- there is nothing secret in it
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- another user must be able to enter it
		return nil, err
	}
	err = b.start()
	return b, err
}

func (b *bouncer) settings() string { return filepath.Join(b.dir, "pgbouncer.ini") }

func (b *bouncer) start() error {
	b.cmd = exec.CommandContext(context.Background(), b.program, b.settings()) // #nosec G204 -- a program that the tester chose
	ofOurs(b.cmd, unprivileged())
	if err := b.forker.start(b.cmd); err != nil {
		return err
	}
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", b.address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(limit) {
			return fmt.Errorf("PgBouncer does not listen: %w", err)
		}
	}
}

// kill ends PgBouncer at once.
func (b *bouncer) kill() {
	_ = b.cmd.Process.Signal(syscall.SIGKILL)
	_ = b.cmd.Wait()
}

func (b *bouncer) stop() {
	b.kill()
	_ = os.RemoveAll(b.dir)
}
