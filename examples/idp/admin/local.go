package admin

import (
	"context"
	"os"
	"time"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// Local does what is asked with a server of this process.
type Local struct {
	Server   *server.Server
	Accounts *accounts.Accounts
	Backend  storage.Backend // of the server; nil: its database can't be looked at here

	// Rotated is told the new secret of a client, for who uses it here. Optional.
	Rotated func(ctx context.Context, id string, secret storage.Secret) error

	// Mover moves the store of the server to another database. Optional.
	Mover func(ctx context.Context, d Destination) (Moved, error)
}

var _ API = (*Local)(nil)

// Status says which process this is.
func (l *Local) Status(context.Context) (Status, error) {
	return Status{PID: os.Getpid(), Issuer: l.Server.Issuer()}, nil
}

// AddClient registers a client.
func (l *Local) AddClient(ctx context.Context, c NewClient) (MadeClient, error) {
	client := c.Client
	client.Secret = c.Secret
	if c.SecretHash != "" {
		client.Secrets = []storage.ClientSecret{{Hash: c.SecretHash, CreatedAt: l.Server.Store().Now()}}
	}
	made, secret, err := l.Server.Clients().Create(ctx, client)
	return MadeClient{view(made), secret}, err
}

// Clients returns all clients by their ID.
func (l *Local) Clients(ctx context.Context) ([]Client, error) {
	var all []Client
	for page := (storage.Page{Limit: storage.MaxPage}); ; {
		clients, next, err := l.Server.Clients().List(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, c := range clients {
			all = append(all, Client{view(c), l.Server.Clients().Configured(c.ID)})
		}
		if next == "" {
			return all, nil
		}
		page.After = next
	}
}

// Client returns one client.
func (l *Local) Client(ctx context.Context, id string) (Client, error) {
	c, err := l.Server.Clients().Get(ctx, id)
	return Client{view(c), l.Server.Clients().Configured(id)}, noClient(err, id)
}

// RotateSecret gives a client a new secret; the one before stays valid for overlap.
func (l *Local) RotateSecret(ctx context.Context, id string, overlap time.Duration) (MadeClient, error) {
	var secret storage.Secret
	err := l.Server.Store().Do(ctx, func(ctx context.Context) (err error) {
		if secret, err = l.Server.Clients().RotateSecret(ctx, id, overlap); err != nil || l.Rotated == nil {
			return err
		}
		return l.Rotated(ctx, id, secret)
	})
	if err != nil {
		return MadeClient{}, noClient(err, id)
	}
	c, err := l.Server.Clients().Get(ctx, id)
	return MadeClient{view(c), secret}, err
}

// RemoveClient removes a client and everything it holds.
func (l *Local) RemoveClient(ctx context.Context, id string) error {
	return noClient(l.Server.Clients().Delete(ctx, id), id)
}

// AddUser makes an account.
func (l *Local) AddUser(ctx context.Context, u NewUser) (MadeUser, error) {
	made, password, err := l.Accounts.Add(ctx, u.User, u.Password)
	return MadeUser{made, password}, err
}

// Users returns everybody by username.
func (l *Local) Users(ctx context.Context) ([]accounts.User, error) { return l.Accounts.List(ctx) }

// SetDisabled shuts a person out, at once and everywhere, or lets them in again.
func (l *Local) SetDisabled(ctx context.Context, username string, disabled bool) (u accounts.User, err error) {
	err = l.ending(ctx, func(ctx context.Context) (string, error) {
		if u, err = l.Accounts.SetDisabled(ctx, username, disabled); err != nil || !disabled {
			return "", err
		}
		return u.ID, nil
	})
	return u, err
}

// ResetPassword replaces a password and ends what was granted under the old one,
// which may have been somebody else's doing.
func (l *Local) ResetPassword(ctx context.Context, username string, password storage.Secret) (m MadeUser, err error) {
	err = l.ending(ctx, func(ctx context.Context) (string, error) {
		m.User, m.Password, err = l.Accounts.SetPassword(ctx, username, password)
		return m.ID, err
	})
	return m, err
}

// RemoveUser deletes an account and ends what was granted to it.
func (l *Local) RemoveUser(ctx context.Context, username string) error {
	return l.ending(ctx, func(ctx context.Context) (string, error) {
		u, err := l.Accounts.Remove(ctx, username)
		return u.ID, err
	})
}

// ending changes an account and, in the same commit, ends every session, grant and
// token of the subject that change returns: a crash must not leave one without the
// other.
func (l *Local) ending(ctx context.Context, change func(context.Context) (subject string, err error)) error {
	return l.Server.Store().Do(ctx, func(ctx context.Context) error {
		subject, err := change(ctx)
		if err != nil || subject == "" {
			return err
		}
		return l.Server.RevokeSubject(ctx, subject)
	})
}
