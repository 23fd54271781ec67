package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

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
		return clients.RevokeInitialToken(ctx, all[len(all)-1].ID)
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
