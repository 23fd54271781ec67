package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func open(t *testing.T, declared ...accounts.Declared) *accounts.Accounts {
	t.Helper()
	backend := memory.New()
	t.Cleanup(func() { backend.Close() })
	store, err := storage.Open(t.Context(), backend, storage.Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := accounts.New(store, declared)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func add(t *testing.T, a *accounts.Accounts, u accounts.User, password storage.Secret) accounts.User {
	t.Helper()
	made, _, err := a.Add(t.Context(), u, password)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestVerify(t *testing.T) {
	brought, err := bcrypt.GenerateFromPassword([]byte("daves password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	a := open(t,
		accounts.Declared{User: accounts.User{Username: "carol", ID: "1001", Email: "carol@example.com"}, Password: "carols password"},
		accounts.Declared{User: accounts.User{Username: "dave"}, PasswordHash: string(brought)},
		accounts.Declared{User: accounts.User{Username: "shut", Disabled: true}, Password: "shut password"},
	)
	alice := add(t, a, accounts.User{Username: "Alice", Email: "alice@example.com"}, "alices password")
	add(t, a, accounts.User{Username: "twin1", Email: "twins@example.com"}, "twins password")
	add(t, a, accounts.User{Username: "twin2", Email: "twins@example.com"}, "twins password")
	add(t, a, accounts.User{Username: "gone"}, "password of gone")
	if _, err := a.SetDisabled(t.Context(), "gone", true); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Verify(t.Context(), "alice@example.com", "alices password"); err != nil || got.Name != "Alice" {
		t.Errorf("pages call the account %q, %v", got.Name, err)
	}
	for login, account := range map[string]string{
		"aLICE": "Alice", "alice@EXAMPLE.com": "Alice", "carol@example.com": "carol", "twins@example.com": "twins@example.com", "nobody": "nobody",
	} {
		if got, err := a.Account(t.Context(), login); err != nil || got != account {
			t.Errorf("%s is the account %q, %v", login, got, err)
		}
	}
	for _, c := range []struct{ login, password, sub string }{
		{"Alice", "alices password", alice.ID},
		{"  aLICE ", "alices password", alice.ID},
		{"alice@EXAMPLE.com", "alices password", alice.ID},
		{"alice", "Alices password", ""},
		{"alice", "", ""},
		{"nobody", "alices password", ""},
		{"nobody@example.com", "alices password", ""},
		{"twins@example.com", "twins password", ""}, // whose?
		{"twin1", "twins password", "-"},
		{"gone", "password of gone", ""},
		{"shut", "shut password", ""},
		{"carol", "carols password", "1001"},
		{"carol@example.com", "carols password", "1001"},
		{"carol", "carols passwore", ""},
		{"dave", "daves password", "dave"},
		{"dave", "daves passwore", ""},
	} {
		got, err := a.Verify(t.Context(), c.login, c.password)
		switch {
		case c.sub == "" && (!errors.Is(err, handlers.ErrWrongPassword) || err.Error() != handlers.ErrWrongPassword.Error() || got.ID != ""):
			t.Errorf("%s with %q: %v, %v: want the one answer for all that is wrong", c.login, c.password, got, err)
		case c.sub != "" && (err != nil || got.ID != c.sub && c.sub != "-" || !slices.Equal(got.AMR, []string{"pwd"})):
			t.Errorf("%s: %v, %v", c.login, got, err)
		}
	}
}

// Whether a name is known must not show in the time either.
func TestUnknownNamesTakeTheTimeOfWrongPasswords(t *testing.T) {
	a := open(t, accounts.Declared{User: accounts.User{Username: "carol"}, Password: "carols password"})
	add(t, a, accounts.User{Username: "alice"}, "alices password")
	add(t, a, accounts.User{Username: "gone"}, "password of gone")
	if _, err := a.SetDisabled(t.Context(), "gone", true); err != nil {
		t.Fatal(err)
	}
	// The least of several tries, taken in turns, says what the work costs on a
	// machine that is busy with something else. An answer without the work would be a
	// thousand times faster.
	tries := map[string]string{
		"alice": "not her password", "nobody": "x password", "nobody@example.com": "x password",
		"carol": "not her password", "gone": "password of gone",
	}
	least := map[string]time.Duration{}
	for range 7 {
		for login, password := range tries {
			began := time.Now()
			if _, err := a.Verify(t.Context(), login, password); !errors.Is(err, handlers.ErrWrongPassword) {
				t.Fatal(err)
			}
			if took := time.Since(began); least[login] == 0 || took < least[login] {
				least[login] = took
			}
		}
	}
	for login, took := range least {
		if wrong := least["alice"]; took < wrong/5 || took > wrong*5 {
			t.Errorf("%s takes %v, a wrong password %v", login, took, wrong)
		}
	}
}

func TestAUsernameIsGivenOnce(t *testing.T) {
	a := open(t, accounts.Declared{User: accounts.User{Username: "carol"}, Password: "carols password"})
	var done sync.WaitGroup
	results := make(chan error, 8)
	for i := range 8 {
		done.Go(func() {
			_, _, err := a.Add(context.Background(), accounts.User{Username: []string{"alice", "ALICE"}[i%2]}, "alices password")
			results <- err
		})
	}
	done.Wait()
	close(results)
	made := 0
	for err := range results {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, accounts.ErrExists):
			t.Errorf("the loser is told %v", err)
		}
	}
	if made != 1 {
		t.Errorf("%d accounts were made under one name", made)
	}
	if _, _, err := a.Add(t.Context(), accounts.User{Username: "Carol"}, ""); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("a declared name was given again: %v", err)
	}
}

// NIST SP 800-63B §5.1.1.2
func TestAccountsAreChecked(t *testing.T) {
	a := open(t)
	for _, c := range []struct {
		user     accounts.User
		password storage.Secret
	}{
		{accounts.User{Username: ""}, ""},
		{accounts.User{Username: " alice"}, ""},
		{accounts.User{Username: "al\u202eice"}, ""},
		{accounts.User{Username: "alice", Email: "nobody"}, ""},
		{accounts.User{Username: "alice", Email: "A <a@example.com>"}, ""},
		{accounts.User{Username: "alice", Claims: map[string]any{"iss": "x"}}, ""},
		{accounts.User{Username: "alice"}, "short"},
	} {
		if _, _, err := a.Add(t.Context(), c.user, c.password); !errors.Is(err, accounts.ErrInvalid) {
			t.Errorf("%+v with password %q: %v", c.user, string(c.password), err)
		}
	}
	if all, err := a.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("what is invalid was stored: %v %v", all, err)
	}
}

func TestPasswordsAreReplaced(t *testing.T) {
	a := open(t, accounts.Declared{User: accounts.User{Username: "carol"}, Password: "carols password"})
	_, first, err := a.Add(t.Context(), accounts.User{Username: "alice"}, "")
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	_, second, err := a.SetPassword(t.Context(), "ALICE", "")
	if err != nil || second == "" || second == first {
		t.Fatal(second, err)
	}
	if _, err := a.Verify(t.Context(), "alice", string(first)); !errors.Is(err, handlers.ErrWrongPassword) {
		t.Errorf("the password before still works: %v", err)
	}
	if _, err := a.Verify(t.Context(), "alice", string(second)); err != nil {
		t.Errorf("the new password does not work: %v", err)
	}
	if _, _, err := a.SetPassword(t.Context(), "nobody", ""); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a password for nobody: %v", err)
	}
	if _, _, err := a.SetPassword(t.Context(), "carol", ""); !errors.Is(err, accounts.ErrDeclared) {
		t.Errorf("a declared password was changed: %v", err)
	}
	if _, err := a.Remove(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), "alice", string(second)); !errors.Is(err, handlers.ErrWrongPassword) {
		t.Errorf("a deleted account still works: %v", err)
	}
}

func TestClaims(t *testing.T) {
	a := open(t, accounts.Declared{User: accounts.User{Username: "carol", ID: "1001", Claims: map[string]any{"team": "blue"}}, Password: "carols password"})
	alice := add(t, a, accounts.User{Username: "alice", Name: "Alice", Email: "alice@example.com", EmailVerified: true}, "alices password")
	ask := func(subject, grantType string) (map[string]any, error) {
		c := &handlers.ClaimsRequest{Subject: subject, GrantType: grantType, User: map[string]any{}}
		err := a.Claims(t.Context(), c)
		return c.User, err
	}
	got, err := ask(alice.ID, storage.GrantRefreshToken)
	want := map[string]any{"preferred_username": "alice", "name": "Alice", "email": "alice@example.com", "email_verified": true}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := ask("1001", ""); err != nil || got["team"] != "blue" {
		t.Errorf("a declared user: %v %v", got, err)
	}
	if got, err := ask("backup", storage.GrantClientCredentials); err != nil || len(got) != 0 {
		t.Errorf("a client for itself: %v %v", got, err)
	}
	if _, err := a.SetDisabled(t.Context(), "alice", true); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{alice.ID, "somebody who was removed"} {
		if _, err := ask(subject, storage.GrantRefreshToken); err == nil {
			t.Errorf("%s gets tokens", subject)
		}
	}
	if _, err := a.SetDisabled(t.Context(), "alice", false); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(alice.ID, storage.GrantRefreshToken); err != nil {
		t.Errorf("an account that was enabled again: %v", err)
	}
}

func TestDeclaredUsersStandInFront(t *testing.T) {
	backend := memory.New()
	defer backend.Close()
	store, err := storage.Open(t.Context(), backend, storage.Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := accounts.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	add(t, before, accounts.User{Username: "alice"}, "stored password")
	after, err := accounts.New(store, []accounts.Declared{{User: accounts.User{Username: "alice"}, Password: "declared password"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.Verify(t.Context(), "alice", "stored password"); err == nil {
		t.Error("the stored password of a declared user works")
	}
	if all, err := after.List(t.Context()); err != nil || len(all) != 1 || !all[0].Declared {
		t.Errorf("listed as %+v, %v", all, err)
	}
	twice := []accounts.Declared{
		{User: accounts.User{Username: "a"}, Password: "password 1"}, {User: accounts.User{Username: "A"}, Password: "password 2"},
	}
	if _, err := accounts.New(store, twice); !errors.Is(err, accounts.ErrInvalid) {
		t.Errorf("a name declared twice: %v", err)
	}
}

// What the configuration file ends is told once, whatever many users there are.
func TestFollow(t *testing.T) {
	backend := memory.New()
	defer backend.Close()
	store, err := storage.Open(t.Context(), backend, storage.Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	follow := func(users ...accounts.Declared) []string {
		t.Helper()
		a, err := accounts.New(store, users)
		if err != nil {
			t.Fatal(err)
		}
		var revoked, told []string
		changes, err := a.Follow(t.Context(), func(_ context.Context, subject string) error {
			revoked = append(revoked, subject)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			told = append(told, c.Subject+" "+c.Username+" "+c.Why)
		}
		if len(revoked) != len(told) {
			t.Errorf("revoked %v, told %v", revoked, told)
		}
		return told
	}
	user := func(sub, name, password string, disabled bool) accounts.Declared {
		return accounts.Declared{User: accounts.User{ID: sub, Username: name, Disabled: disabled}, Password: storage.Secret(password)}
	}
	hashed := user("4", "d", "", false)
	hashed.PasswordHash = "$2a$04$abcdefghijklmnopqrstuuxZhfTVWH/J.PRcnzAXi3VVvXxLbAnby"
	var many []accounts.Declared
	for i := range 100 {
		many = append(many, user(fmt.Sprint("many", i), fmt.Sprint("many", i), "password of all", false))
	}
	for _, step := range []struct {
		users []accounts.Declared
		want  []string
	}{
		{slices.Concat(many, []accounts.Declared{user("1", "a", "password 1", false), user("2", "b", "password 2", true)}), []string{"2 b disabled"}},
		{slices.Concat(many, []accounts.Declared{user("1", "a", "password 1", false), user("2", "b", "password 2", true)}), nil},
		{slices.Concat(many, []accounts.Declared{user("1", "renamed", "password 1", false), user("2", "b", "password 2", false)}), nil},
		{slices.Concat(many, []accounts.Declared{user("1", "a", "password x", false), user("2", "b", "password 2", true)}), []string{"1 a password_changed", "2 b disabled"}},
		{slices.Concat(many, []accounts.Declared{user("3", "a", "password x", false), hashed}), []string{"1 a removed", "2 b removed"}},
		{slices.Concat(many, []accounts.Declared{user("3", "a", "password x", false), user("4", "d", "another password", false)}), []string{"4 d password_changed"}},
		{many, []string{"3 a removed", "4 d removed"}},
		{many, nil},
	} {
		if diff := cmp.Diff(step.want, follow(step.users...)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if told := follow(); len(told) != len(many) {
		t.Errorf("%d of %d are removed", len(told), len(many))
	}
}
