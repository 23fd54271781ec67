package accounts

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"

	"github.com/doorward/doorward/storage"
)

// Declared is a user of the configuration file.
type Declared struct {
	User
	Password     storage.Secret
	PasswordHash string // argon2id or bcrypt, in place of Password
}

// Check returns what is wrong with the declaration, nil when nothing is.
func (d *Declared) Check() error {
	problems := []error{checkUser(d.User)}
	if d.ID != "" && !visible(d.ID) {
		problems = append(problems, fmt.Errorf("%w: sub: found %q; write visible ASCII characters without spaces, at most 255", ErrInvalid, d.ID))
	}
	switch {
	case d.Password != "" && d.PasswordHash != "":
		problems = append(problems, fmt.Errorf("%w: password_hash: found beside a password; leave one of them out", ErrInvalid))
	case d.Password != "":
		problems = append(problems, CheckPassword(d.Password))
	case d.PasswordHash != "":
		problems = append(problems, checkHash(d.PasswordHash))
	default:
		problems = append(problems, fmt.Errorf("%w: password: found nothing; write password, password_file or password_hash", ErrInvalid))
	}
	return errors.Join(problems...)
}

func (d *Declared) user() (*User, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	u := d.User
	u.ID, u.Declared = cmp.Or(u.ID, u.Username), true
	u.hash, u.password = d.PasswordHash, d.Password
	if !visible(u.ID) {
		return nil, fmt.Errorf("%w: sub: found nothing, and the username %q can't stand for it; write sub, in visible ASCII", ErrInvalid, u.Username)
	}
	return &u, nil
}

// reserved are the claims that the protocol or the account itself gives.
var reserved = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash", "sid",
	"name", "email", "email_verified", "preferred_username",
}

func checkUser(u User) error {
	var problems []error
	add := func(field, found, want string) {
		problems = append(problems, fmt.Errorf("%w: %s: found %s; %s", ErrInvalid, field, found, want))
	}
	switch name := u.Username; {
	case strings.TrimSpace(name) == "":
		add("username", "nothing", `write one, as in "alice"`)
	case len(name) > 100:
		add("username", "a very long name", "write at most 100 bytes")
	case name != strings.TrimSpace(name) || strings.ContainsFunc(name, unseen):
		add("username", fmt.Sprintf("%q", name), "write only what people can see, without spaces around it")
	}
	if len(u.Name) > 200 || strings.ContainsFunc(u.Name, unseen) {
		add("name", fmt.Sprintf("%q", u.Name), "write at most 200 bytes that people can see")
	}
	if u.Email != "" {
		if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email {
			add("email", fmt.Sprintf("%q", u.Email), `write a plain address, as in "alice@example.com"`)
		}
	}
	for _, name := range reserved {
		if _, ok := u.Claims[name]; ok {
			add("claims."+name, "a claim that is filled in by itself", "leave it out")
		}
	}
	if _, err := json.Marshal(u.Claims); err != nil {
		add("claims", "a value that JSON has no form for", "write names as text, and values that JSON knows")
	}
	return errors.Join(problems...)
}

func unseen(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// visible says that s may be a sub: visible ASCII, at most 255 bytes.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
