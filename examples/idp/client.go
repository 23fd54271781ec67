package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage"
)

type clientCommands struct {
	Add    clientAdd    `cmd:"" help:"Register a client."`
	List   clientList   `cmd:"" help:"List all clients."`
	Show   clientShow   `cmd:"" help:"Show one client, as JSON."`
	Rotate clientRotate `cmd:"" name:"rotate-secret" help:"Give a client a new secret."`
	Remove clientRemove `cmd:"" help:"Remove a client; every token it holds ends."`
}

type clientAdd struct {
	ID            string   `arg:"" optional:"" help:"client_id. Default: made."`
	File          string   `help:"Metadata in the names of RFC 7591, JSON or YAML; - reads standard input." placeholder:"FILE"`
	Name          string   `help:"Name shown to people."`
	RedirectURI   []string `name:"redirect-uri" sep:"none" help:"Where people return to (repeat for more)." placeholder:"URL"`
	PostLogoutURI []string `name:"post-logout-redirect-uri" sep:"none" help:"Where people return to after signing out." placeholder:"URL"`
	Grant         []string `name:"grant-type" help:"Grant types. Default: authorization_code and refresh_token with a redirect URI, else client_credentials."`
	Scope         string   `help:"What it may ask for. Default with a redirect URI: openid profile email offline_access." placeholder:"SCOPES"`
	DefaultScope  string   `help:"Granted when it names no scope." placeholder:"SCOPES"`
	Audience      []string `sep:"none" help:"APIs its tokens may be meant for." placeholder:"URL"`
	Public        bool     `help:"It can't keep a secret: an app on a device or in a browser."`
	AuthMethod    string   `help:"Pin client_secret_basic or client_secret_post." placeholder:"METHOD"`
	FirstParty    bool     `help:"It is our own: nobody is asked for consent."`
	Refresh       string   `name:"refresh-policy" help:"window, strict, until-used or none." placeholder:"POLICY"`
	SkipPKCE      bool     `name:"insecure-skip-pkce" help:"It can't do PKCE. It stays less safe."`
	SecretStdin   bool     `help:"Read the secret from standard input. Default: one is made."`
}

// Run registers the client and prints the secret that was made.
func (c *clientAdd) Run(x *call) error {
	asked, err := c.client(x)
	if err != nil {
		return err
	}
	return withAPI(x, true, func(ctx context.Context, api admin.API) error {
		made, err := api.AddClient(ctx, asked)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(made)
		}
		fmt.Fprintf(x.streams.out, "client_id      %s\n", made.ID)
		if made.Secret != "" {
			fmt.Fprintf(x.streams.out, "client_secret  %s\n\nThe secret is shown this once.\n", made.Secret)
		}
		return nil
	})
}

// client is what the flags and the file ask for; the flags win.
func (c *clientAdd) client(x *call) (admin.NewClient, error) {
	var base storage.Client
	if c.File != "" {
		if c.File == "-" && c.SecretStdin {
			return admin.NewClient{}, fmt.Errorf("%w: --file - and --secret-stdin both read standard input; put client_secret into the file", errUsage)
		}
		read, err := readClient(x, c.File)
		if err != nil {
			return admin.NewClient{}, err
		}
		base = read
	}
	for _, o := range []struct {
		flag  string
		value *string
	}{
		{c.ID, &base.ID}, {c.Name, &base.Name}, {c.Scope, &base.Scope}, {c.DefaultScope, &base.DefaultScope},
		{c.AuthMethod, &base.TokenEndpointAuthMethod}, {c.Refresh, (*string)(&base.RefreshPolicy)},
	} {
		if o.flag != "" {
			*o.value = o.flag
		}
	}
	for _, o := range []struct{ flag, value *[]string }{
		{&c.RedirectURI, &base.RedirectURIs}, {&c.PostLogoutURI, &base.PostLogoutRedirectURIs},
		{&c.Grant, &base.GrantTypes}, {&c.Audience, &base.Audiences},
	} {
		if len(*o.flag) > 0 {
			*o.value = *o.flag
		}
	}
	if c.Public {
		base.TokenEndpointAuthMethod = storage.AuthMethodNone
	}
	base.FirstParty = base.FirstParty || c.FirstParty
	base.Insecure.SkipPKCE = base.Insecure.SkipPKCE || c.SkipPKCE
	if c.SecretStdin {
		secret, err := x.readSecret("secret")
		if err != nil {
			return admin.NewClient{}, err
		}
		base.Secret = secret
	}
	settings.DefaultScope(&base)
	asked := admin.NewClient{Client: base, Secret: base.Secret}
	if len(base.Secrets) > 0 {
		asked.SecretHash, asked.Secrets = base.Secrets[0].Hash, nil
	}
	return asked, nil
}

func readClient(x *call, path string) (storage.Client, error) {
	if path == "-" {
		return settings.ReadClient(x.streams.in, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return storage.Client{}, fmt.Errorf("%w; write the path of a file that can be read", err)
	}
	defer f.Close()
	return settings.ReadClient(f, path)
}

type clientList struct{}

// Run lists all clients.
func (c *clientList) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		all, err := api.Clients(ctx)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(append([]admin.Client{}, all...))
		}
		return table(x.streams.out, "CLIENT ID\tNAME\tKIND\tGRANTS\tKEPT IN", all, func(c admin.Client) string {
			kind, kept := "confidential", "database"
			if c.Public() {
				kind = "public"
			}
			if c.Disabled {
				kind += ", disabled"
			}
			if c.Configured {
				kept = "configuration file"
			}
			return strings.Join([]string{c.ID, c.DisplayName(), kind, strings.Join(c.Grants(), " "), kept}, "\t")
		})
	})
}

type clientShow struct {
	ID string `arg:"" help:"client_id."`
}

// Run shows one client.
func (c *clientShow) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		one, err := api.Client(ctx, c.ID)
		if err != nil {
			return err
		}
		return x.printJSON(one)
	})
}

type clientRotate struct {
	ID   string `arg:"" help:"client_id."`
	Keep string `help:"How long the secret before stays valid, as in 24h or 7d; 0 ends it at once." default:"24h" placeholder:"TIME"`
}

// Run makes a new secret and prints it.
func (c *clientRotate) Run(x *call) error {
	keep, err := settings.ParseDuration(c.Keep)
	if err != nil || keep < 0 {
		return fmt.Errorf("%w: --keep: found %q; write a time span, as in 24h or 7d", errUsage, c.Keep)
	}
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		made, err := api.RotateSecret(ctx, c.ID, keep)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(made)
		}
		fmt.Fprintf(x.streams.out, "client_id      %s\nclient_secret  %s\n\nThe secret is shown this once. %s\n", made.ID, made.Secret, until(keep))
		return nil
	})
}

func until(keep time.Duration) string {
	if keep == 0 {
		return "The one before has ended."
	}
	return "The one before works for another " + strings.TrimSuffix(keep.String(), "0m0s") + "."
}

type clientRemove struct {
	ID string `arg:"" help:"client_id."`
}

// Run removes a client.
func (c *clientRemove) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		if err := api.RemoveClient(ctx, c.ID); err != nil {
			return err
		}
		return x.done(map[string]string{"client_id": c.ID, "state": "removed"}, "The client %q is removed; its tokens have ended.", c.ID)
	})
}

// done tells that something was done.
func (x *call) done(asJSON any, text string, values ...any) error {
	if x.json {
		return x.printJSON(asJSON)
	}
	_, err := fmt.Fprintf(x.streams.out, text+"\n", values...)
	return err
}

// table writes one row for each value.
func table[T any](w io.Writer, head string, all []T, row func(T) string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, head)
	for _, one := range all {
		fmt.Fprintln(t, row(one))
	}
	return t.Flush()
}
