// Package accounts keeps the people of the example identity provider: who they
// are, how they prove it, and what clients learn about them. They live beside the
// server's own records, in a storage.Collection, or are declared in the
// configuration file.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

var (
	// ErrInvalid means that what was given can't become an account.
	ErrInvalid = errors.New("accounts: invalid")

	// ErrExists means that somebody has the username already.
	ErrExists = errors.New("accounts: the username is taken")

	// ErrNotFound means that nobody has the username.
	ErrNotFound = errors.New("accounts: there is no such user")

	// ErrDeclared means that the user stands in the configuration file, where
	// alone it can be changed.
	ErrDeclared = errors.New("accounts: the user stands in the configuration file")
)

// User is one person. Its JSON form is what the command line prints.
type User struct {
	ID       string `json:"sub"` // never given to anybody else
	Username string `json:"username"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	// EmailVerified says that the address was shown to be the person's.
	EmailVerified bool `json:"email_verified,omitempty"`
	// Claims are told to clients beside the name and the address.
	Claims   map[string]any `json:"claims,omitempty"`
	Disabled bool           `json:"disabled,omitempty"`

	CreatedAt time.Time `json:"created_at,omitzero"`
	// Declared says that the user stands in the configuration file.
	Declared bool `json:"declared,omitempty"`

	hash     string
	password storage.Secret // of a declared user, until it was hashed
}

// Accounts are the people, declared and stored. It is safe for concurrent use.
type Accounts struct {
	store    *storage.Store
	records  *storage.Collection[record]
	declared map[string]*User // by folded username
	bySub    map[string]*User // the declared ones
	checker  *secrethash.Checker
}

// record is how a user is stored; the store seals it.
type record struct {
	User
	Hash string `json:"hash"`
}

const indexSubject, indexEmail = "sub", "email"

// New returns the accounts of a store, with those of the configuration file in
// front of them. The error is ErrInvalid with all problems.
func New(store *storage.Store, declared []Declared) (*Accounts, error) {
	a := &Accounts{store: store, declared: map[string]*User{}, bySub: map[string]*User{}, checker: secrethash.NewChecker(0)}
	a.records = storage.Collect(store, "idp.user", 1, func(r *record) storage.Meta {
		return storage.Meta{ID: a.key(r.Username), Index: []storage.Index{
			{Name: indexSubject, Value: store.SubjectKey(r.ID)},
			{Name: indexEmail, Value: a.emailKey(r.Email)},
		}}
	})
	var problems []error
	for i := range declared {
		u, err := declared[i].user()
		if err != nil {
			problems = append(problems, err)
			continue
		}
		name := fold(u.Username)
		if a.declared[name] != nil || a.bySub[u.ID] != nil {
			problems = append(problems, fmt.Errorf("%w: the user %q is declared twice; leave one of them out", ErrInvalid, u.Username))
			continue
		}
		a.declared[name], a.bySub[u.ID] = u, u
		a.checker.Expect(u.hash)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return a, nil
}

// Add makes an account. With an empty password one is generated; it is returned
// this once. The error is ErrInvalid, ErrExists, or the store's.
func (a *Accounts) Add(ctx context.Context, u User, password storage.Secret) (User, storage.Secret, error) {
	generated := storage.Secret("")
	if password == "" {
		generated = Generate()
		password = generated
	}
	now := a.store.Now()
	u.ID, u.CreatedAt, u.Declared = opaque.NewID(now), now, false
	if err := errors.Join(checkUser(u), CheckPassword(password)); err != nil {
		return User{}, "", err
	}
	hash, err := a.checker.Hash(ctx, string(password))
	if err != nil {
		return User{}, "", err
	}
	if a.declared[fold(u.Username)] != nil {
		return User{}, "", fmt.Errorf("%w by a user of the configuration file: %q; choose another", ErrExists, u.Username)
	}
	err = a.store.Do(ctx, func(ctx context.Context) error {
		switch _, err := a.records.Get(ctx, a.key(u.Username)); {
		case err == nil:
			return fmt.Errorf("%w: %q; choose another", ErrExists, u.Username)
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
		return a.records.Put(ctx, &record{User: u, Hash: hash})
	})
	if err != nil {
		return User{}, "", err
	}
	return u, generated, nil
}

// Get returns the user of a username. The error is ErrNotFound or the store's.
func (a *Accounts) Get(ctx context.Context, username string) (User, error) {
	if u := a.declared[fold(username)]; u != nil {
		return *u, nil
	}
	r, err := a.records.Get(ctx, a.key(username))
	if err != nil {
		return User{}, named(err, username)
	}
	return r.user(), nil
}

// List returns everybody by username.
func (a *Accounts) List(ctx context.Context) ([]User, error) {
	var all []User
	for _, u := range a.declared {
		all = append(all, *u)
	}
	for page := (storage.Page{Limit: storage.MaxPage}); ; {
		records, next, err := a.records.List(ctx, "", "", page)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if a.declared[fold(r.Username)] == nil { // a declared user stands in front
				all = append(all, r.user())
			}
		}
		if next == "" {
			break
		}
		page.After = next
	}
	slices.SortFunc(all, func(x, y User) int { return strings.Compare(fold(x.Username), fold(y.Username)) })
	return all, nil
}

// SetDisabled shuts a person out or lets them in again, and returns the user. What
// was granted before stays in the store: the caller revokes it.
func (a *Accounts) SetDisabled(ctx context.Context, username string, disabled bool) (User, error) {
	return a.change(ctx, username, func(r *record) { r.Disabled = disabled })
}

// SetPassword replaces a password; with an empty one a new one is generated and
// returned this once.
func (a *Accounts) SetPassword(ctx context.Context, username string, password storage.Secret) (User, storage.Secret, error) {
	generated := storage.Secret("")
	if password == "" {
		generated = Generate()
		password = generated
	}
	if err := CheckPassword(password); err != nil {
		return User{}, "", err
	}
	hash, err := a.checker.Hash(ctx, string(password))
	if err != nil {
		return User{}, "", err
	}
	u, err := a.change(ctx, username, func(r *record) { r.Hash = hash })
	return u, generated, err
}

// Remove deletes an account and returns who it was.
func (a *Accounts) Remove(ctx context.Context, username string) (User, error) {
	if a.declared[fold(username)] != nil {
		return User{}, fmt.Errorf("%w: %q; take it out there and start again", ErrDeclared, username)
	}
	var was User
	err := a.store.Do(ctx, func(ctx context.Context) error {
		r, err := a.records.Get(ctx, a.key(username))
		if err != nil {
			return named(err, username)
		}
		was = r.user()
		return a.records.Delete(ctx, a.key(username))
	})
	if err != nil {
		return User{}, err
	}
	return was, nil
}

func (a *Accounts) change(ctx context.Context, username string, how func(*record)) (User, error) {
	if a.declared[fold(username)] != nil {
		return User{}, fmt.Errorf("%w: %q; change it there and start again", ErrDeclared, username)
	}
	var is User
	err := a.store.Do(ctx, func(ctx context.Context) error {
		r, err := a.records.Get(ctx, a.key(username))
		if err != nil {
			return named(err, username)
		}
		how(r)
		is = r.user()
		return a.records.Put(ctx, r)
	})
	if err != nil {
		return User{}, err
	}
	return is, nil
}

// bySubject returns the user with this sub. The error is ErrNotFound or the store's.
func (a *Accounts) bySubject(ctx context.Context, subject string) (User, error) {
	if u := a.bySub[subject]; u != nil {
		return *u, nil
	}
	found, _, err := a.records.List(ctx, indexSubject, a.store.SubjectKey(subject), storage.Page{})
	if err != nil {
		return User{}, err
	}
	for _, r := range found {
		if r.ID == subject { // the index is a short hash
			return r.user(), nil
		}
	}
	return User{}, ErrNotFound
}

// byLogin returns who signs in under a username or, when one person alone has it,
// an e-mail address.
func (a *Accounts) byLogin(ctx context.Context, login string) (User, error) {
	u, err := a.Get(ctx, login)
	if err == nil || !errors.Is(err, ErrNotFound) || !strings.Contains(login, "@") {
		return u, err
	}
	var all []User
	for _, u := range a.declared {
		if fold(u.Email) == fold(login) {
			all = append(all, *u)
		}
	}
	found, _, err := a.records.List(ctx, indexEmail, a.emailKey(login), storage.Page{})
	if err != nil {
		return User{}, err
	}
	for _, r := range found {
		if fold(r.Email) == fold(login) && a.declared[fold(r.Username)] == nil {
			all = append(all, r.user())
		}
	}
	if len(all) != 1 {
		return User{}, ErrNotFound
	}
	return all[0], nil
}

// key is the ID of a user's record: usernames are what makes it unique.
func (a *Accounts) key(username string) string {
	return a.store.Lookup("idp.username", fold(username))
}

func (a *Accounts) emailKey(email string) string {
	return a.store.Lookup("idp.email", fold(email))
}

func (r *record) user() User {
	u := r.User
	u.hash = r.Hash
	return u
}

// fold is the form in which usernames are compared, whatever their case and Unicode
// form.
func fold(s string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(s))) }

// named turns the store's not found into one that says who.
func named(err error, username string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%w: %q; `idp user list` shows all", ErrNotFound, username)
	}
	return err
}

// Claims is the server's Claims hook: it fills in what clients learn, and shuts
// out who is disabled or gone, so that their refresh tokens stop.
func (a *Accounts) Claims(ctx context.Context, c *handlers.ClaimsRequest) error {
	if c.GrantType == storage.GrantClientCredentials {
		return nil // the client speaks for itself
	}
	u, err := a.bySubject(ctx, c.Subject)
	switch {
	case errors.Is(err, ErrNotFound):
		return handlers.Refuse("the account was removed")
	case err != nil:
		return err
	case u.Disabled:
		return handlers.Refuse("the account is disabled")
	}
	for name, value := range u.Claims {
		c.User[name] = value
	}
	c.User["preferred_username"] = u.Username
	if u.Name != "" {
		c.User["name"] = u.Name
	}
	if u.Email != "" {
		c.User["email"], c.User["email_verified"] = u.Email, u.EmailVerified
	}
	return nil
}
