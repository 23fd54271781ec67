// Package admin manages the clients and users of the example identity provider
// from the command line. API is what can be done. Local does it in this process;
// Handler offers it as JSON over HTTP, on a unix socket that only the operator can
// open; Remote calls it there.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/moving"
)

// API is what the command line can do. Errors are those of server.Clients and of
// accounts, on either side of the socket.
type API interface {
	Status(ctx context.Context) (Status, error)

	AddClient(ctx context.Context, c NewClient) (MadeClient, error)
	Clients(ctx context.Context) ([]Client, error)
	Client(ctx context.Context, id string) (Client, error)
	RotateSecret(ctx context.Context, id string, overlap time.Duration) (MadeClient, error)
	RemoveClient(ctx context.Context, id string) error

	AddToken(ctx context.Context, n NewToken) (MadeToken, error)
	Tokens(ctx context.Context) ([]storage.InitialToken, error)
	RevokeToken(ctx context.Context, id string) error

	AddUser(ctx context.Context, u NewUser) (MadeUser, error)
	Users(ctx context.Context) ([]accounts.User, error)
	SetDisabled(ctx context.Context, username string, disabled bool) (accounts.User, error)
	ResetPassword(ctx context.Context, username string, password storage.Secret) (MadeUser, error)
	RemoveUser(ctx context.Context, username string) error

	Stats(ctx context.Context) (Stats, error)
	Check(ctx context.Context) (Checked, error)
	RotateDataKey(ctx context.Context) (storage.DataKeys, error)
	Backup(ctx context.Context, w io.Writer) (int64, error)
	Move(ctx context.Context, d Destination) (Moved, error)
}

// Status says who answers.
type Status struct {
	PID    int    `json:"pid"`
	Issuer string `json:"issuer"`
}

// View is a client as it is shown: when its secrets were made and end, and nothing
// of what only the server needs.
type View struct {
	storage.Client
	Secrets     []SecretDates `json:"secrets,omitempty"`
	Incarnation string        `json:"incarnation,omitempty"` // always empty
}

// SecretDates are the dates of one secret.
type SecretDates struct {
	CreatedAt time.Time `json:"created_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func view(c storage.Client) View {
	v := View{Client: c}
	for _, s := range c.Secrets {
		v.Secrets = append(v.Secrets, SecretDates{s.CreatedAt, s.ExpiresAt})
	}
	return v
}

// Client is a registered client with where it comes from.
type Client struct {
	View
	Configured bool `json:"configured,omitempty"` // stands in the configuration file
}

// NewClient asks for a client. Without a secret one is made for a client that can
// keep it.
type NewClient struct {
	storage.Client
	Secret     storage.Secret `json:"client_secret,omitempty"`
	SecretHash string         `json:"client_secret_hash,omitempty"`
}

// MadeClient is a client with the secret that was made for it, shown this once.
type MadeClient struct {
	View
	Secret storage.Secret `json:"client_secret,omitempty"`
}

// NewUser asks for an account. Without a password one is made.
type NewUser struct {
	accounts.User
	Password storage.Secret `json:"password,omitempty"`
}

// MadeUser is an account with the password that was made for it, shown this once.
type MadeUser struct {
	accounts.User
	Password storage.Secret `json:"password,omitempty"`
}

// kinds are the errors that keep their meaning over the socket.
var kinds = []struct {
	name   string
	err    error
	status int
}{
	{"invalid", server.ErrInvalid, 400},
	{"invalid_user", accounts.ErrInvalid, 400},
	{"not_found", storage.ErrNotFound, 404},
	{"user_not_found", accounts.ErrNotFound, 404},
	{"exists", server.ErrExists, 409},
	{"user_exists", accounts.ErrExists, 409},
	{"configured", server.ErrConfigured, 409},
	{"declared", accounts.ErrDeclared, 409},
	{"damaged", storage.ErrDamaged, 500},
	{"moved", storage.ErrMoved, 409},
	{"foreign", moving.ErrForeign, 409},
	{"shared", moving.ErrShared, 409},
	{"busy", moving.ErrBusy, 409},
	{"differs", moving.ErrDiffers, 500},
	{"unavailable", storage.ErrUnavailable, 503},
}

// answer is the JSON form of an error.
type answer struct {
	Kind string `json:"error"`
	Text string `json:"error_description"`
}

func answerFor(err error) (answer, int) {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return answer{k.name, err.Error()}, k.status
		}
	}
	return answer{"server_error", err.Error()}, 500
}

// err is the error that an answer stands for.
func (a answer) err() error {
	for _, k := range kinds {
		if k.name == a.Kind {
			return &farError{a.Text, k.err}
		}
	}
	return errors.New(a.Text)
}

// farError is an error with a text of its own that keeps what it is, as one of the
// other side.
type farError struct {
	text string
	is   error
}

func (e *farError) Error() string { return e.text }
func (e *farError) Unwrap() error { return e.is }

// Text is an error in words for the command line: without the names of packages,
// one problem a line.
func Text(err error) string {
	var lines []string
	words := strings.NewReplacer("Config.Scopes", "scopes of the configuration file", "was made with to Secrets", "was made with to store.secret_files", "choose another, or Update that one", "choose another, or remove that one first")
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		for _, prefix := range []string{"server: ", "accounts: ", "storage: ", "admin: ", "bolt: ", "postgres: ", "moving: ", "invalid: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		lines = append(lines, words.Replace(line))
	}
	return strings.Join(lines, "\n")
}

// noClient says which client is missing.
func noClient(err error, id string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return &farError{fmt.Sprintf("admin: there is no client %q; `idp client list` shows all", id), storage.ErrNotFound}
	}
	return err
}
