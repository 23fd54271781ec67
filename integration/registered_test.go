package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/doorward/doorward/storage"
)

// adopt takes the client that the last answer tells of into the cast.
func (s *scene) adopt([]string) error {
	c := &storage.Client{}
	if err := json.Unmarshal(s.last.body, c); err != nil {
		return err
	}
	if c.ID = s.last.text("client_id"); c.ID == "" {
		return fmt.Errorf("no client was registered: %s", s.last)
	}
	c.Secret = storage.Secret(s.last.text("client_secret"))
	s.world.clients[c.ID] = c
	s.env("client", c.ID)
	return nil
}

// initial makes an initial access token, or ends the last one.
func (s *scene) initial(args []string) error {
	ctx, clients := context.Background(), s.world.server.Clients()
	if len(args) > 0 && args[0] == "revoke" {
		all, _, err := clients.InitialTokens(ctx, storage.Page{})
		if err != nil || len(all) == 0 {
			return fmt.Errorf("there is no initial access token: %w", err)
		}
		last := slices.MaxFunc(all, func(a, b storage.InitialToken) int { // IDs know milliseconds only
			return a.CreatedAt.Compare(b.CreatedAt)
		})
		return clients.RevokeInitialToken(ctx, last.ID)
	}
	uses := 0
	if len(args) > 0 {
		var err error
		if uses, err = strconv.Atoi(args[0]); err != nil {
			return err
		}
	}
	_, token, err := clients.IssueInitialToken(ctx, storage.InitialToken{Note: "of a script", Uses: uses})
	s.env("initial", string(token))
	return err
}

// registers asks for a client, at a place of its own when it is to be managed.
func (s *site) registers(method, place, token, body string) (*reply, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return send(s.person().client, method, place, header, body)
}

// registrations counts what clients cost that register themselves.
func (l *ledger) registrations() {
	place := l.w.endpoint("register")
	cost := func(name string, most int64, method, at, token, body string) *reply {
		l.t.Helper()
		return l.cost(name, most, func() (*reply, error) { return l.w.registers(method, at, token, body) })
	}
	made := cost("a registration", 1, http.MethodPost, place, "", `{"redirect_uris":["https://new.test/cb"],"scope":"openid"}`)
	const public = `{"redirect_uris":["https://new.test/cb"],"token_endpoint_auth_method":"none"}`
	cost("a public one", 1, http.MethodPost, place, "", public)
	cost("a public one again", 0, http.MethodPost, place, "", public)
	cost("one that is refused", 0, http.MethodPost, place, "", `{"redirect_uris":["http://new.test/cb"]}`)
	at, token := made.text("registration_client_uri"), made.text("registration_access_token")
	cost("reading it", 0, http.MethodGet, at, token, "")
	cost("reading it without a right", 0, http.MethodGet, at, "wrong", "")
	changed := fmt.Sprintf(`{"client_id":%q,"redirect_uris":["https://new.test/two"],"scope":"openid"}`, made.text("client_id"))
	cost("changing it", 1, http.MethodPut, at, token, changed)
	cost("changing it without a right", 0, http.MethodPut, at, "wrong", changed)
	cost("removing it", 1, http.MethodDelete, at, token, "")
	cost("removing it again", 0, http.MethodDelete, at, token, "")
}

// numbered makes metadata that nobody sent before.
var numbered atomic.Int64

func registrationFlows() []flow {
	body := func(more string) string {
		return fmt.Sprintf(`{"client_name":"n%d","redirect_uris":["https://new.test/cb"]%s}`, numbered.Add(1), more)
	}
	created := func(r *reply) bool { return r.status == http.StatusCreated }
	known := func(s *frailty) func(*reply) error {
		return func(r *reply) error {
			_, err := s.server.Clients().Get(context.Background(), r.text("client_id"))
			return err
		}
	}
	managed := func(s *frailty) (at, token, id string) {
		made := s.must(s.registers(http.MethodPost, s.endpoint("register"), "", body("")))
		return made.text("registration_client_uri"), made.text("registration_access_token"), made.text("client_id")
	}
	return []flow{
		{"a registration", func(s *frailty) *attempt {
			sent := body("")
			return &attempt{good: created, holds: known(s), request: func() (*reply, error) { return s.registers(http.MethodPost, s.endpoint("register"), "", sent) }}
		}},
		{"a registration of a public client", func(s *frailty) *attempt {
			sent := body(`,"token_endpoint_auth_method":"none"`)
			return &attempt{good: created, holds: known(s), request: func() (*reply, error) { return s.registers(http.MethodPost, s.endpoint("register"), "", sent) }}
		}},
		{"reading a registration", func(s *frailty) *attempt {
			at, token, _ := managed(s)
			return &attempt{request: func() (*reply, error) { return s.registers(http.MethodGet, at, token, "") }}
		}},
		{"changing a registration", func(s *frailty) *attempt {
			at, token, id := managed(s)
			sent := fmt.Sprintf(`{"client_id":%q,"client_name":"changed","redirect_uris":["https://new.test/cb"]}`, id)
			return &attempt{request: func() (*reply, error) { return s.registers(http.MethodPut, at, token, sent) }, holds: func(*reply) error {
				c, err := s.server.Clients().Get(context.Background(), id)
				if err == nil && c.Name != "changed" {
					err = fmt.Errorf("the client is still called %q", c.Name)
				}
				return err
			}}
		}},
		{"removing a registration", func(s *frailty) *attempt {
			at, token, id := managed(s)
			return &attempt{once: true, good: func(r *reply) bool { return r.status == http.StatusNoContent },
				request: func() (*reply, error) { return s.registers(http.MethodDelete, at, token, "") },
				holds: func(*reply) error {
					if _, err := s.server.Clients().Get(context.Background(), id); err == nil {
						return fmt.Errorf("the client is there still")
					}
					return nil
				}}
		}},
	}
}
