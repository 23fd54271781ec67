package accounts

import (
	"context"
	"crypto/hmac"
	"maps"
	"slices"

	"github.com/doorward/doorward/storage"
)

// remembered is what is known of a declared user from the start before. The store
// seals it.
type remembered struct {
	ID       string `json:"sub"`
	Username string `json:"username"`
	Disabled bool   `json:"disabled,omitempty"`
	Password []byte `json:"password"` // MAC of the password, or of its hash
}

// Change is what the configuration file did to a user since the start before.
type Change struct {
	Subject, Username string
	Why               string // removed, disabled or password_changed
}

// chunk is how many users are compared in one commit, which holds so many writes only.
const chunk = 16

// Follow compares the declared users with those of the start before and calls revoke
// for each who was disabled, removed or given another password since: what was granted
// to them must end as it does when the same is done by the other functions. Each is
// remembered in the commit that revoke takes part in. It is for the server that serves,
// not for commands, which may not know the whole file.
func (a *Accounts) Follow(ctx context.Context, revoke func(ctx context.Context, subject string) error) ([]Change, error) {
	before := map[string]*remembered{}
	memory := a.memory()
	for page := (storage.Page{Limit: storage.MaxPage}); ; {
		records, next, err := memory.List(ctx, "", "", page)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			before[r.ID] = r
		}
		if next == "" {
			break
		}
		page.After = next
	}
	all := maps.Clone(before)
	for sub := range a.bySub {
		all[sub] = nil
	}
	var changes []Change
	for subjects := range slices.Chunk(slices.Sorted(maps.Keys(all)), chunk) {
		var made []Change
		err := a.store.Do(ctx, func(ctx context.Context) error {
			made = nil
			for _, sub := range subjects {
				why, err := a.follow(ctx, before[sub], a.bySub[sub])
				if err != nil {
					return err
				}
				if why == "" {
					continue
				}
				c := Change{Subject: sub, Why: why}
				if u := a.bySub[sub]; u != nil {
					c.Username = u.Username
				} else {
					c.Username = before[sub].Username
				}
				made = append(made, c)
				if err := revoke(ctx, sub); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return changes, err
		}
		changes = append(changes, made...)
	}
	return changes, nil
}

// follow remembers what a declared user is now, and says why what was granted to them
// before must end; empty when it need not. Either may be nil.
func (a *Accounts) follow(ctx context.Context, was *remembered, is *User) (why string, err error) {
	memory := a.memory()
	if is == nil {
		return "removed", memory.Delete(ctx, a.memoryKey(was.ID))
	}
	now := &remembered{ID: is.ID, Username: is.Username, Disabled: is.Disabled, Password: a.store.MAC("idp.declared password", []byte(is.hash), []byte(is.password))}
	switch {
	case is.Disabled && (was == nil || !was.Disabled):
		why = "disabled"
	case was != nil && !hmac.Equal(was.Password, now.Password):
		why = "password_changed"
	case was != nil && was.Username == now.Username && was.Disabled == now.Disabled:
		return "", nil
	}
	return why, memory.Put(ctx, now)
}

func (a *Accounts) memory() *storage.Collection[remembered] {
	return storage.Collect(a.store, "idp.declared", 1, func(r *remembered) storage.Meta {
		return storage.Meta{ID: a.memoryKey(r.ID)}
	})
}

func (a *Accounts) memoryKey(sub string) string { return a.store.Lookup("idp.declared", sub) }
