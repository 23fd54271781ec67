package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/storage"
)

// Remote calls the API of a server that runs, through its socket.
type Remote struct {
	client  *http.Client
	patient *http.Client // for calls that read the whole database
}

var _ API = (*Remote)(nil)

// ErrNobody means that no server listens on the socket.
var ErrNobody = errors.New("admin: no server listens on the socket")

// ErrForeign means that somebody else may have put the socket where it is.
var ErrForeign = errors.New("admin: the socket belongs to another user, and others can write to its folder")

// Dial reaches the server behind a socket. The error is ErrNobody when there is
// none, also when one left its socket behind, and ErrForeign when it may be another's.
func Dial(ctx context.Context, socket string) (*Remote, error) {
	return dialAs(ctx, socket, os.Geteuid())
}

// dialAs trusts the sockets of a user.
func dialAs(ctx context.Context, socket string, user int) (*Remote, error) {
	if file, err := os.Lstat(socket); err == nil {
		folder, err := os.Stat(filepath.Dir(socket))
		if err != nil {
			return nil, fmt.Errorf("admin: reach the server through %s: %w", socket, err)
		}
		if foreign(file, folder, user) {
			return nil, fmt.Errorf("%w: %s; name a place of your own by --admin-socket", ErrForeign, socket)
		}
	}
	var d net.Dialer
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	probe, err := connect(ctx, "", "")
	if err != nil {
		if nobody(err) {
			return nil, ErrNobody
		}
		return nil, fmt.Errorf("admin: reach the server through %s: %w", socket, err)
	}
	probe.Close()
	transport := &http.Transport{DialContext: connect}
	return &Remote{client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, patient: &http.Client{Transport: transport}}, nil
}

func (c *Remote) call(ctx context.Context, method, path string, in, out any) error {
	return callWith(ctx, c.client, method, path, in, out)
}

func callWith(ctx context.Context, client *http.Client, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, body)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("admin: call the running server: %w", err)
	}
	defer resp.Body.Close()
	if err := refusal(resp); err != nil {
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("admin: read the answer: %w", err)
	}
	return nil
}

// refusal is the error that an answer tells, nil when it tells none.
func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Text == "" {
		return fmt.Errorf("admin: the running server answered %s; is it another release?", resp.Status)
	}
	return a.err()
}

func client(id string, more ...string) string { return under("/clients/", id, more) }
func user(name string, more ...string) string { return under("/users/", name, more) }

// under names a record in a path. The sign before it keeps names like ".." from being
// taken for steps.
func under(path, id string, more []string) string {
	path += sign + url.PathEscape(id)
	for _, m := range more {
		path += "/" + m
	}
	return path
}

// Status says which process answers.
func (c *Remote) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// AddClient registers a client.
func (c *Remote) AddClient(ctx context.Context, n NewClient) (m MadeClient, err error) {
	err = c.call(ctx, http.MethodPost, "/clients", n, &m)
	return m, err
}

// Clients returns all clients by their ID.
func (c *Remote) Clients(ctx context.Context) (all []Client, err error) {
	err = c.call(ctx, http.MethodGet, "/clients", nil, &all)
	return all, err
}

// Client returns one client.
func (c *Remote) Client(ctx context.Context, id string) (one Client, err error) {
	err = c.call(ctx, http.MethodGet, client(id), nil, &one)
	return one, err
}

// RotateSecret gives a client a new secret; the one before stays valid for overlap.
func (c *Remote) RotateSecret(ctx context.Context, id string, keep time.Duration) (m MadeClient, err error) {
	err = c.call(ctx, http.MethodPost, client(id, "secret"), overlap{int64(keep / time.Second)}, &m)
	return m, err
}

// RemoveClient removes a client and everything it holds.
func (c *Remote) RemoveClient(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, client(id), nil, &struct{}{})
}

// AddUser makes an account.
func (c *Remote) AddUser(ctx context.Context, u NewUser) (m MadeUser, err error) {
	err = c.call(ctx, http.MethodPost, "/users", u, &m)
	return m, err
}

// Users returns everybody by username.
func (c *Remote) Users(ctx context.Context) (all []accounts.User, err error) {
	err = c.call(ctx, http.MethodGet, "/users", nil, &all)
	return all, err
}

// SetDisabled shuts a person out or lets them in again.
func (c *Remote) SetDisabled(ctx context.Context, username string, disabled bool) (u accounts.User, err error) {
	verb := "enable"
	if disabled {
		verb = "disable"
	}
	err = c.call(ctx, http.MethodPost, user(username, verb), nil, &u)
	return u, err
}

// ResetPassword replaces a password.
func (c *Remote) ResetPassword(ctx context.Context, username string, p storage.Secret) (m MadeUser, err error) {
	err = c.call(ctx, http.MethodPost, user(username, "password"), password{p}, &m)
	return m, err
}

// RemoveUser deletes an account.
func (c *Remote) RemoveUser(ctx context.Context, username string) error {
	return c.call(ctx, http.MethodDelete, user(username), nil, &struct{}{})
}
