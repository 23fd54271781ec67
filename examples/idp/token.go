package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage"
)

type tokenCommands struct {
	Add    tokenAdd    `cmd:"" help:"Make an initial access token, with which somebody can register clients."`
	List   tokenList   `cmd:"" help:"List the tokens that have not expired."`
	Revoke tokenRevoke `cmd:"" help:"End a token; clients that were registered with it stay."`
}

type tokenAdd struct {
	Note    string `help:"What it is for." placeholder:"TEXT"`
	Uses    int    `help:"How many clients may be registered with it; 0 for any number." default:"1"`
	Expires string `help:"How long it is good, as in 24h or 7d; 0 for ever." default:"7d" placeholder:"TIME"`
}

// Run makes the token and prints it.
func (c *tokenAdd) Run(x *call) error {
	life, err := settings.ParseDuration(c.Expires)
	if err != nil || life < 0 {
		return fmt.Errorf("%w: --expires: found %q; write a time span, as in 24h or 7d", errUsage, c.Expires)
	}
	return withAPI(x, true, func(ctx context.Context, api admin.API) error {
		made, err := api.AddToken(ctx, admin.NewToken{Note: c.Note, Uses: c.Uses, Seconds: int64(life / time.Second)})
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(made)
		}
		fmt.Fprintf(x.streams.out, "id     %s\ntoken  %s\n\nThe token is shown this once.\n", made.ID, made.Token)
		return nil
	})
}

type tokenList struct{}

// Run lists the tokens.
func (c *tokenList) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		all, err := api.Tokens(ctx)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(append([]storage.InitialToken{}, all...))
		}
		return table(x.streams.out, "ID\tUSES\tEXPIRES\tNOTE", all, func(t storage.InitialToken) string {
			uses, end := "any number", "never"
			if t.Uses > 0 {
				uses = strconv.Itoa(t.Uses)
			}
			if !t.ExpiresAt.IsZero() {
				end = t.ExpiresAt.UTC().Format(time.RFC3339)
			}
			return t.ID + "\t" + uses + "\t" + end + "\t" + t.Note
		})
	})
}

type tokenRevoke struct {
	ID string `arg:"" help:"ID of the token, as the list shows it."`
}

// Run ends a token.
func (c *tokenRevoke) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		if err := api.RevokeToken(ctx, c.ID); err != nil {
			return err
		}
		return x.done(map[string]string{"id": c.ID, "state": "revoked"}, "The token %s is revoked.", c.ID)
	})
}
