package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/bench/peer"
)

// operation is something that clients ask of a provider again and again.
type operation struct {
	name  string
	title string
	// endpoint is what a provider must have for it.
	endpoint func(peer.Endpoints) string
	// begin makes ready and returns what is done and measured each time.
	begin func(*caller) (func() error, error)
}

// operations are all of them, by the order of the tables.
func operations() []operation {
	token := func(e peer.Endpoints) string { return e.Token }
	authorization := func(e peer.Endpoints) string { return e.Authorization }
	return []operation{
		{"client-credentials", "client credentials", token, (*caller).machineTokens},
		{"login", "code flow with a login", authorization, (*caller).loginFlows},
		{"signed-in", "code flow, signed in", authorization, (*caller).signedInFlows},
		{"refresh", "refresh", authorization, (*caller).refreshes},
		{"introspection", "introspection", func(e peer.Endpoints) string { return e.Introspection }, (*caller).introspections},
		{"userinfo", "userinfo", func(e peer.Endpoints) string { return e.UserInfo }, (*caller).userInfos},
		{"revocation", "client credentials and revocation", func(e peer.Endpoints) string { return e.Revocation }, (*caller).revocations},
		{"par", "pushed request", func(e peer.Endpoints) string { return e.Pushed }, (*caller).pushes},
		{"discovery", "discovery", func(e peer.Endpoints) string { return e.Discovery }, (*caller).discoveries},
		{"jwks", "JWKS", func(e peer.Endpoints) string { return e.JWKS }, (*caller).keySets},
	}
}

// findOperation returns the operation of a name.
func findOperation(name string) (operation, error) {
	all := operations()
	if i := slices.IndexFunc(all, func(o operation) bool { return o.name == name }); i >= 0 {
		return all[i], nil
	}
	return operation{}, fmt.Errorf("there is no operation %q; write one of %s", name, strings.Join(operationNames(), ", "))
}

func operationNames() []string {
	var names []string
	for _, o := range operations() {
		names = append(names, o.name)
	}
	return names
}

// lacking says why a provider can't do the operation, empty when it can.
func (o operation) lacking(s *site) string {
	if reason := s.lacks[o.name]; reason != "" {
		return reason
	}
	if o.endpoint(s.endpoints) == "" {
		return "it has no such endpoint"
	}
	return ""
}

// form makes a step that sends one and the same form and looks for a member in the answer.
func (c *caller) form(endpoint string, client credentials, fields url.Values, status int, check func(*answer) error) (func() error, error) {
	target, err := c.wire.target(endpoint)
	if err != nil {
		return nil, err
	}
	header, body := client.basic()+"Accept: application/json\r\n", fields.Encode()
	return func() error {
		a, err := c.wire.send("POST", target, header, body)
		if err != nil {
			return err
		}
		if a.status != status {
			return unexpected(target, a)
		}
		if err := check(a); err != nil {
			return fmt.Errorf("%s: %w: %.300s", target, err, a.body)
		}
		return nil
	}, nil
}

func unexpected(target string, a *answer) error {
	return fmt.Errorf("%s answered %d: %.300s", target, a.status, a.body)
}

// machineTokens asks for tokens by client credentials. RFC 6749 §4.4
func (c *caller) machineTokens() (func() error, error) {
	fields := url.Values{"grant_type": {"client_credentials"}}
	if c.site.machineScope != "" {
		fields.Set("scope", c.site.machineScope)
	}
	return c.form(c.site.endpoints.Token, c.site.machine, fields, http.StatusOK, func(a *answer) error {
		access := member(a.body, "access_token")
		if access == "" {
			return errNoToken
		}
		if !c.site.constant && (strings.Count(access, ".") == 2) != c.site.jwt {
			return fmt.Errorf("the access token is a JWT where none was wanted, or the other way round")
		}
		return c.prove(c.site.machine, "", access, "")
	})
}

func (c *caller) introspections() (func() error, error) {
	access, err := c.accessToken()
	if err != nil {
		return nil, err
	}
	return c.form(c.site.endpoints.Introspection, c.site.web, url.Values{"token": {access}}, http.StatusOK, func(a *answer) error {
		if !truth(a.body, "active") {
			return fmt.Errorf("the token is not active")
		}
		return nil
	})
}

// revocations asks for a token and revokes it: two requests. RFC 7009 §2.1
func (c *caller) revocations() (func() error, error) {
	target, err := c.wire.target(c.site.endpoints.Revocation)
	if err != nil {
		return nil, err
	}
	var access string
	issue, err := c.form(c.site.endpoints.Token, c.site.machine, url.Values{"grant_type": {"client_credentials"}, "scope": {c.site.machineScope}}, http.StatusOK, func(a *answer) error {
		if access = member(a.body, "access_token"); access == "" {
			return errNoToken
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	header := c.site.machine.basic()
	return func() error {
		if err := issue(); err != nil {
			return err
		}
		a, err := c.wire.send("POST", target, header, "token="+url.QueryEscape(access))
		if err == nil && a.status != http.StatusOK {
			err = unexpected(target, a)
		}
		return err
	}, nil
}

// pushes sends authorization requests ahead of the browser. RFC 9126 §2.1
func (c *caller) pushes() (func() error, error) {
	target, err := c.wire.target(c.site.endpoints.Pushed)
	if err != nil {
		return nil, err
	}
	header := c.site.web.basic()
	return func() error {
		a, err := c.wire.send("POST", target, header, c.request().query.Encode())
		if err != nil {
			return err
		}
		if a.status != http.StatusCreated || member(a.body, "request_uri") == "" {
			return unexpected(target, a)
		}
		return nil
	}, nil
}

func (c *caller) userInfos() (func() error, error) {
	access, err := c.accessToken()
	if err != nil {
		return nil, err
	}
	return c.get(c.site.endpoints.UserInfo, "Authorization: Bearer "+access+"\r\n", "sub")
}

func (c *caller) discoveries() (func() error, error) {
	return c.get(c.site.endpoints.Discovery, "", "issuer")
}

func (c *caller) keySets() (func() error, error) { return c.get(c.site.endpoints.JWKS, "", "keys") }

// get makes a step that reads one resource and looks for a member in it.
func (c *caller) get(endpoint, header, name string) (func() error, error) {
	target, err := c.wire.target(endpoint)
	if err != nil {
		return nil, err
	}
	header += "Accept: application/json\r\n"
	return func() error {
		a, err := c.wire.send("GET", target, header, "")
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || after(a.body, name) == nil {
			return unexpected(target, a)
		}
		return nil
	}, nil
}
