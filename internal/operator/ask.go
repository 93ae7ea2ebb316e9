package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"restante/api"
)

// Ready asks the server whether it is ready. If it is not, the error is [*Refused].
func (c *Connection) Ready(ctx context.Context) error {
	body, err := c.Get(ctx, "/readyz")
	if err != nil {
		return err
	}
	var said api.Health
	if err := json.Unmarshal(body, &said); err != nil || said.Status != api.HealthStatusOk {
		return fmt.Errorf("the answer to /readyz is not what was expected; is this the server? %.100s", plain(string(body)))
	}
	return nil
}

// Status asks the server for its status.
func (a *Admin) Status(ctx context.Context) (status api.Status, err error) {
	_, err = a.read(ctx, "/v1/status", &status)
	return status, err
}

// Usage asks the server for its usage in a period, such as "days=7" or "hours=1". Only an admin side tells.
func (a *Admin) Usage(ctx context.Context, period string) (api.UsageReport, error) {
	usage, _, err := a.usage(ctx, period)
	return usage, err
}

// usage is Usage. It also returns the body of the answer.
func (a *Admin) usage(ctx context.Context, period string) (usage api.UsageReport, body []byte, err error) {
	body, err = a.read(ctx, "/v1/admin/usage?"+period, &usage)
	if refused, ok := errors.AsType[*Refused](err); ok && refused.Status == http.StatusNotFound {
		err = fmt.Errorf("this is not the admin side of a server; start the server with --admin-listen, and give its address: %w", err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("the report was not complete within %s; give it longer with --timeout, or ask for fewer days: %w", a.Timeout, err)
	}
	return usage, body, err
}

// read reads an answer in JSON, and returns its body.
func (a *Admin) read(ctx context.Context, path string, into any) ([]byte, error) {
	body, err := a.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("the answer to %s is not what was expected; is this the server? %w", path, err)
	}
	return body, nil
}

func writeJSON(out io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
