package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

const (
	minPassword = 8   // characters. NIST SP 800-63B §5.1.1.2
	maxPassword = 512 // bytes, so that nobody has megabytes hashed
)

// Generate returns a random password that is easy to type: 80 bits.
func Generate() storage.Secret {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789" // none that is taken for another
	text := make([]byte, 0, 19)
	for raw := make([]byte, 1); len(text) < cap(text); {
		if len(text)%5 == 4 {
			text = append(text, '-')
			continue
		}
		rand.Read(raw)
		if int(raw[0]) < 256/len(letters)*len(letters) { // no letter is likelier than others
			text = append(text, letters[int(raw[0])%len(letters)])
		}
	}
	return storage.Secret(text)
}

// CheckPassword says what is wrong with a password, nil when nothing is.
func CheckPassword(password storage.Secret) error {
	switch {
	case utf8.RuneCountInString(string(password)) < minPassword:
		return fmt.Errorf("%w: password: found a short one; write at least %d characters", ErrInvalid, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("%w: password: found a very long one; write at most %d bytes", ErrInvalid, maxPassword)
	case !utf8.ValidString(string(password)):
		return fmt.Errorf("%w: password: found bytes that are no text; write UTF-8", ErrInvalid)
	}
	return nil
}

// Verify is the server's password check. Who is unknown, disabled or has another
// password gets the same answer after the same work, so that nobody learns who has
// an account here.
func (a *Accounts) Verify(ctx context.Context, login, password string) (handlers.Subject, error) {
	u, err := a.byLogin(ctx, login)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return handlers.Subject{}, err
	}
	ok, err := a.matches(ctx, u, password)
	if err != nil {
		return handlers.Subject{}, err
	}
	if !ok {
		return handlers.Subject{}, handlers.ErrWrongPassword
	}
	return handlers.Subject{ID: u.ID, Name: u.Username, AMR: []string{"pwd"}}, nil
}

// Account returns the username of who signs in under a name, and the name itself when
// nobody does: guessing counts by the account, whichever of its names is used.
func (a *Accounts) Account(ctx context.Context, login string) (string, error) {
	u, err := a.byLogin(ctx, login)
	switch {
	case errors.Is(err, ErrNotFound):
		return login, nil
	case err != nil:
		return "", err
	}
	return u.Username, nil
}

// matches says whether the password is that of an account that may be used. It
// computes one slow hash whoever is asked for; of the zero User and of a disabled one
// it looks at nothing that could answer sooner.
func (a *Accounts) matches(ctx context.Context, u User, password string) (bool, error) {
	switch {
	case u.Disabled || u.hash == "" && u.password == "":
		return false, a.checker.CheckNone(ctx, password)
	case u.hash != "":
		return a.checker.Check(ctx, u.hash, password)
	}
	err := a.checker.CheckNone(ctx, password)
	return subtle.ConstantTimeCompare([]byte(u.password), []byte(password)) == 1, err
}

func checkHash(hash string) error {
	if err := secrethash.Valid(hash); err != nil {
		return fmt.Errorf("%w: password_hash: found %s; write an argon2id or a bcrypt hash", ErrInvalid, strings.TrimPrefix(err.Error(), "secrethash: "))
	}
	return nil
}
