package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/storage"
)

type userCommands struct {
	Add     userAdd     `cmd:"" help:"Make an account."`
	List    userList    `cmd:"" help:"List all users."`
	Disable userDisable `cmd:"" help:"Shut a user out, at once and everywhere."`
	Enable  userEnable  `cmd:"" help:"Let a user in again."`
	Reset   userReset   `cmd:"" name:"reset-password" help:"Replace a password; what was granted before ends."`
	Remove  userRemove  `cmd:"" help:"Delete an account."`
}

type userAdd struct {
	Username      string            `arg:"" help:"Name to sign in with."`
	Name          string            `help:"Full name."`
	Email         string            `help:"E-mail address."`
	EmailVerified bool              `help:"The address was shown to be the person's."`
	Claim         map[string]string `mapsep:"none" help:"Further claims, as in --claim team=blue." placeholder:"NAME=VALUE"`
	PasswordStdin bool              `help:"Read the password from standard input. Default: one is made."`
}

// Run makes the account and prints the password that was made.
func (c *userAdd) Run(x *call) error {
	password, err := x.password(c.PasswordStdin)
	if err != nil {
		return err
	}
	asked := admin.NewUser{User: accounts.User{Username: c.Username, Name: c.Name, Email: c.Email, EmailVerified: c.EmailVerified}, Password: password}
	for name, value := range c.Claim {
		if asked.Claims == nil {
			asked.Claims = map[string]any{}
		}
		asked.Claims[name] = value
	}
	return withAPI(x, true, func(ctx context.Context, api admin.API) error {
		made, err := api.AddUser(ctx, asked)
		if err != nil {
			return err
		}
		return x.showMade(made)
	})
}

func (x *call) password(stdin bool) (storage.Secret, error) {
	if !stdin {
		return "", nil
	}
	return x.readSecret("password")
}

func (x *call) showMade(made admin.MadeUser) error {
	if x.json {
		return x.printJSON(made)
	}
	fmt.Fprintf(x.streams.out, "username  %s\nsub       %s\n", made.Username, made.ID)
	if made.Password != "" {
		fmt.Fprintf(x.streams.out, "password  %s\n\nThe password is shown this once.\n", made.Password)
	}
	return nil
}

type userList struct{}

// Run lists everybody.
func (c *userList) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		all, err := api.Users(ctx)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(append([]accounts.User{}, all...))
		}
		return table(x.streams.out, "USERNAME\tNAME\tEMAIL\tSTATE\tKEPT IN\tSUB", all, func(u accounts.User) string {
			state, kept := "enabled", "database"
			if u.Disabled {
				state = "disabled"
			}
			if u.Declared {
				kept = "configuration file"
			}
			return strings.Join([]string{u.Username, u.Name, u.Email, state, kept, u.ID}, "\t")
		})
	})
}

type userDisable struct {
	Username string `arg:"" help:"Who."`
}

// Run shuts a user out.
func (c *userDisable) Run(x *call) error {
	return setDisabled(x, c.Username, true, "The user %q is shut out; every token and refresh has ended.")
}

type userEnable struct {
	Username string `arg:"" help:"Who."`
}

// Run lets a user in again.
func (c *userEnable) Run(x *call) error {
	return setDisabled(x, c.Username, false, "The user %q may sign in again.")
}

func setDisabled(x *call, username string, disabled bool, text string) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		u, err := api.SetDisabled(ctx, username, disabled)
		if err != nil {
			return err
		}
		return x.done(u, text, u.Username)
	})
}

type userReset struct {
	Username      string `arg:"" help:"Who."`
	PasswordStdin bool   `help:"Read the password from standard input. Default: one is made."`
}

// Run replaces the password.
func (c *userReset) Run(x *call) error {
	password, err := x.password(c.PasswordStdin)
	if err != nil {
		return err
	}
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		made, err := api.ResetPassword(ctx, c.Username, password)
		if err != nil {
			return err
		}
		return x.showMade(made)
	})
}

type userRemove struct {
	Username string `arg:"" help:"Who."`
}

// Run deletes the account.
func (c *userRemove) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		if err := api.RemoveUser(ctx, c.Username); err != nil {
			return err
		}
		return x.done(map[string]string{"username": c.Username, "state": "removed"}, "The account %q is deleted; every token and refresh has ended.", c.Username)
	})
}
